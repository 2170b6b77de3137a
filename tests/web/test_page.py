"""The page in a real browser, headless: Chromium of the system, driven by Playwright."""

import re
from pathlib import Path

import numpy as np
import pytest

from framecast.clip import Clip
from framecast.models import MODELS
from framecast.video.read import read
from framecast.video.write import write
from tests.web.running import Pretender, running, until

CHROMIUM = Path("/usr/bin/chromium")
STATIC = Path(__file__).parents[2] / "framecast" / "web" / "static"
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, client):
    """The page, ready; what went wrong on it is in `page.trouble`."""
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")
    opened = context.new_page()
    opened.trouble, opened.asked = [], []
    opened.on("console", lambda said: said.type == "error" and opened.trouble.append(said.text))
    opened.on("pageerror", lambda error: opened.trouble.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(str(client.base_url))
    opened.wait_for_selector("#downloads:not([hidden])")
    yield opened
    context.close()


@pytest.fixture
def film(tmp_path):
    frames = np.zeros((24, 32, 48, 3), np.uint8)
    for at, frame in enumerate(frames):
        frame[8:20, at : at + 12] = (220, 180, 60)
    return write(Clip(frames), tmp_path / "my film.mp4")


def pixels(page, panel):
    """What a panel shows: of each pixel the red part."""
    script = """at => { const c = document.querySelectorAll('#panels canvas')[at];
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }"""
    return np.array(page.evaluate(script, panel))[::4]


def go(page):
    page.click("#go")
    page.wait_for_selector("#stage[aria-busy=false]")


def test_upload_play_and_download(page, film, tmp_path, client):
    page.check("input[value=file]", force=True)
    page.set_input_files("#file", film)
    page.fill("#past", "6")
    page.fill("#horizon", "5")
    go(page)
    assert page.text_content("#verdict").startswith("The forecast does not beat")
    assert page.get_attribute("#scrub", "max") == "10"
    page.fill("#scrub", "0")
    before = pixels(page, 0)
    assert np.array_equal(before, pixels(page, 1)), "of the past both panels show the same"
    assert not pixels(page, 2).any()
    page.click("#play")
    until(lambda: int(page.input_value("#scrub")) > 7)
    page.click("#play")
    page.fill("#scrub", "8")  # it plays on and on: where it stopped is chance
    assert page.text_content("#moment") == "+3 of 5"
    assert (pixels(page, 0) != before).any()
    assert (pixels(page, 0) != pixels(page, 1)).any(), "truth and forecast are the same"
    assert pixels(page, 2).any()
    for kind, frames in (("npy", 5), ("mp4", 11), ("gif", 11)):
        with page.expect_download() as waiting:
            page.click(f"[data-format={kind}]")
        saved = tmp_path / f"saved.{kind}"
        waiting.value.save_as(saved)
        assert len(read(saved)) == frames
    assert page.trouble == []
    outside = [url for url in page.asked if not url.startswith((str(client.base_url), "blob:"))]
    assert outside == []


def test_a_broken_file_is_told_and_the_page_goes_on(page, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    page.check("input[value=file]", force=True)
    page.set_input_files("#file", broken)
    go(page)
    assert "broken.mp4" in page.text_content("#notice")
    assert page.is_visible("#notice")
    assert page.is_hidden("#downloads")  # they would be those of the clip before
    assert page.locator("#panels canvas").count() == 0
    assert [said for said in page.trouble if "400" not in said] == []
    page.check("input[value=clip]", force=True)
    go(page)
    assert page.is_hidden("#notice")


def test_the_language_is_switched_and_kept(page):
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh-CN"
    assert page.text_content("#go") == "开始预测"
    assert page.text_content("#verdict") == "预测不如重复最后一帧。"
    assert page.text_content("#about").startswith("重复最后一帧")
    page.reload()
    page.wait_for_selector("#downloads:not([hidden])")
    assert page.text_content("#forecast-title").startswith("接下来会发生什么")
    words = page.evaluate("document.body.innerText")
    english = set(re.findall(r"[A-Za-z]{4,}", words)) - {"framecast", "English", "REST"}
    names = page.locator("#model option").all_text_contents()
    kept = " ".join([page.text_content("#about"), *names])
    assert english <= {*re.findall(r"[A-Za-z]{4,}", kept)}, "untranslated"
    assert page.trouble == []


def test_all_can_be_done_by_keyboard(page):
    page.focus("#clip")
    page.keyboard.press("ArrowDown")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage[aria-busy=false]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Play"
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert page.get_attribute("#scrub", "aria-valuetext") == "past 1 of 10"
    page.keyboard.press("ArrowRight")
    assert page.text_content("#moment") == "past 2 of 10"
    assert page.trouble == []


def test_drawn_digits_are_forecast(page):
    page.check("input[value=draw]", force=True)
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 170, steps=4)
    page.mouse.up()
    assert page.locator(".placed li:not(.names)").count() == 3
    page.click("details summary")
    page.fill("#every", "3")
    go(page)
    page.fill("#scrub", "0")
    assert pixels(page, 0).max() > 200
    page.click("#play")
    page.evaluate("document.querySelector('#go').click()")  # while it plays
    page.wait_for_selector("#go:not([disabled])")
    if page.get_attribute("#play", "aria-pressed") == "true":
        page.click("#play")
    at = page.input_value("#scrub")
    page.wait_for_timeout(600)
    assert page.input_value("#scrub") == at
    assert page.trouble == []


def test_the_chart_leads_to_a_frame(page):
    chart = page.locator("#lead-chart svg")
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] - 14, "y": 60})
    assert page.text_content("#moment") == "+10 of 10"
    page.click("#lead-chart summary")
    assert page.locator("#numbers tr").count() == 11


def test_the_chart_is_whole_again_after_the_language_was_switched_elsewhere(page):
    width = page.locator("#lead-chart svg").bounding_box()["width"]
    page.click("[data-view=training]")
    page.click("#language")
    page.click("[data-view=forecast]")
    assert page.locator("#lead-chart svg").bounding_box()["width"] == width > 240


def test_training_is_shown(page, run):
    page.click("[data-view=training]")
    page.click("#runs button:has-text('my run')")
    page.wait_for_selector("#samples:not([hidden])")
    until(lambda: page.evaluate("document.querySelector('#sample-picture').naturalWidth"))
    assert page.locator("#loss polyline").count() == 1
    assert "1,000" in page.text_content("#run-facts")
    assert page.trouble == []


def test_what_can_be_used_has_a_name(page):
    script = """() => [...document.querySelectorAll('button,input,select,canvas,img,svg[role]')]
        .filter(el => el.offsetParent !== null && !el.labels?.length && el.alt === undefined
            && !el.getAttribute('aria-label') && !el.textContent.trim())
        .map(el => el.outerHTML.slice(0, 80))"""
    assert page.evaluate(script) == []


def test_nothing_is_cut_off_at_any_width(page):
    for width in (320, 360, 768, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_both_languages_have_every_word():
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    english, chinese = text.split("  zh: {")
    keys = [
        set(re.findall(r'(?:^|[ ,{])"?([a-z_0-9]+(?: [a-z]+)?)"?: "', part))
        for part in (english, chinese)
    ]
    assert keys[0] == {key for key in keys[1] if not key.startswith("about_")}
    # In English the server says what a model is good for.
    assert keys[1] - keys[0] == {f"about_{name}" for name in MODELS}
    used = (STATIC / "index.html").read_text() + "".join(p.read_text() for p in STATIC.glob("*.js"))
    wanted = set(re.findall(r'data-t(?:-label)?="(\w+)"', used)) | set(
        re.findall(r'\bt\("(\w+)"', used)
    )
    assert wanted <= keys[0]


def test_the_token_is_taken_from_the_link_and_else_asked_for(browser):
    token = "correct horse battery"
    with running(token=token, kitchen=Pretender()) as client:
        client.headers["authorization"] = f"Bearer {token}"
        base = str(client.base_url)
        page = browser.new_page(locale="en-GB")
        page.goto(f"{base}/#token={token.replace(' ', '%20')}")
        page.wait_for_selector("body[data-ready]")
        assert "token" not in page.url
        other = browser.new_context(locale="en-GB").new_page()
        other.goto(base)
        assert other.is_hidden("#token-wrong")
        other.fill("#token", "a wrong guess")
        other.click("#ask-token button")
        other.wait_for_selector("#token-wrong:not([hidden])")
        assert other.input_value("#token") == ""
        other.fill("#token", token)
        other.click("#ask-token button")
        other.wait_for_selector("body[data-ready]")
