"""The pictures of the page in docs/images, of drawn digits alone.

    python -m tests.web.screenshots RUN

RUN is a run of moving digits in a folder of runs, whose curves are shown too. Needs Chromium.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.web.running import running

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LAPTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def shoot(browser, base, name, view, scheme, language="en-GB", steps=lambda page: None):
    """One picture of the page after some steps."""
    page = browser.new_page(
        viewport=view, color_scheme=scheme, locale=language, reduced_motion="reduce"
    )
    page.goto(base)
    page.wait_for_selector("#downloads:not([hidden])")
    page.fill("#scrub", "13")
    steps(page)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"web_{name}.png", full_page=True)
    page.close()


def draw(page):
    """Forecast what was drawn."""
    page.check("input[value=draw]", force=True)
    page.click("#go")
    page.wait_for_selector("#stage[aria-busy=false]")
    page.fill("#scrub", "13")


def main(run):
    """Take them all."""
    with running(sources=(str(run),), runs=run.parent) as client, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        base = str(client.base_url)
        shoot(browser, base, "laptop", LAPTOP, "light")
        shoot(browser, base, "laptop_dark", LAPTOP, "dark", "zh-CN", draw)
        shoot(browser, base, "phone", PHONE, "light")
        runs = lambda page: page.click("[data-view=training]")  # noqa: E731
        shoot(browser, base, "training", LAPTOP, "light", steps=runs)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
