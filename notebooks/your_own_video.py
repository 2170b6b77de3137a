# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Your own video
#
# From a film to a forecast of its next frames, and an honest word on how good it is. Put the path of your film into `VIDEO`; without one, a small film is drawn.

# %%
from datetime import datetime
from pathlib import Path

import numpy as np
from IPython.display import Image, display

import framecast
from framecast import plot
from framecast.clip import Clip
from framecast.evaluate import evaluate_run
from framecast.report import write_explanation

VIDEO = None  # "storm.mp4", a folder of pictures, an array
SIDE, STEPS = 32, 80  # 64 or more, and thousands, for a real film
PAST, FUTURE = 10, 10  # frames to read and to forecast
# A new folder each time: no run is written over.
RUN = Path("runs", f"own_{datetime.now():%Y-%m-%d_%H%M%S}")

# %%
if VIDEO is None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    frames = [
        120 * (np.hypot(rows - 10, columns - t % (SIDE + 10) + 5) < 5)
        + 80 * (np.abs(rows - 24) + np.abs((columns + 2 * t) % SIDE - 16) < 4)
        for t in range(240)
    ]
    drawn = Clip(np.stack(frames).astype(np.uint8)[..., None], source="drawn")
    VIDEO = framecast.write(drawn, "drawn.mp4")

clip = framecast.read(VIDEO, size=SIDE, grey=True)
print(f"{len(clip)} frames of {clip.size}, {clip.seconds_per_frame:.3f} s each")
framecast.show(framecast.read(VIDEO, size=SIDE, grey=True, stop=40))

# %% [markdown]
# ## Train
#
# The clip is parted by time, with a gap: training, validation, test. Nothing of the test part is seen in training.

# %%
model = framecast.train(
    VIDEO,
    RUN,
    settings={
        "data": {"size": SIDE, "grey": True, "past": PAST, "future": FUTURE},
        "model": {"hidden": [16, 16]},
        "train": {"steps": STEPS, "validations": 3, "validation_windows": 8},
    },
    watches=[framecast.live_curve()],
)

# %% [markdown]
# ## Is it any good?
#
# The model forecasts windows of the held-out part, beside forecasts that cost nothing: the last frame repeated, the mean frame, and what moves moves on.

# %%
scores = evaluate_run(RUN, str(VIDEO), {"size": SIDE, "grey": True})
print(scores.verdict())
display(Image(plot.lead_curves(scores.curves("mse"), "mse.png")))

# %% [markdown]
# ## Forecast what follows

# %%
future = framecast.forecast(model, clip, horizon=2 * FUTURE)
framecast.write(future, "next.gif")
framecast.show(future)

# %% [markdown]
# What would it have said `FUTURE` frames ago? There the truth is known, and lies in the test part, which training has not seen.

# %%
before, after = clip.cut(0, len(clip) - FUTURE), clip.cut(len(clip) - FUTURE)
framecast.show(
    framecast.forecast(model, before, FUTURE), after, past=before.cut(len(before) - PAST)
)

# %% [markdown]
# ## What does it look at?

# %%
found = framecast.explain(model, clip, horizon=FUTURE)
display(Image(write_explanation(found, "explained.png")))
print(found.says)

# %% [markdown]
# ## When it is no better than repeating the last frame
#
# - Train longer, or at a smaller size first: what moves is learnt all the same.
# - Things move farther per frame than the model sees (its reach above): take a smaller size, or `model.kernel=[5]`.
# - Nothing moves: then repeating the last frame *is* the best forecast, and the scores say so.
