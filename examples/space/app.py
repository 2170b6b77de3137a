"""The app of `framecast serve` as a hosted Space, or behind any proxy: everybody may use it.

A Space of the type "gradio" or "docker" runs this file and shows what answers on port 7860; its
requirements.txt is beside it. Models are the runs in the folder `runs`, the
weights that come along, and what needs none.
"""

import os
from pathlib import Path

from framecast.web.app import build_app
from framecast.web.limits import Limits
from framecast.web.serve import run

# What strangers share is smaller than what a person has on the own machine.
limits = Limits(upload=16 * 2**20, inside=8, deadline=20)
app = build_app(runs=Path(__file__).with_name("runs"), public=True, limits=limits)

if __name__ == "__main__":
    run(app, "0.0.0.0", int(os.environ.get("PORT", "7860")), limits)
