# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Next-frame video forecasting with convolutional LSTMs
#
# The tutorial as its readers know it (Keras, *Next-Frame Video Prediction with Convolutional LSTMs*): load, look, train three ConvLSTM layers, forecast, show. Then
# what is wrong with it, made visible, and a better way. At the small size set below it runs in about a minute on one core, which shows the way and not what the
# networks are worth; `SMALL = False` is the real thing.

# %%
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display

import framecast
from framecast import plot
from framecast.check import check
from framecast.clip import Clip, to_clip
from framecast.data import open_data
from framecast.forecast import rollout
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.report import write_explanation

SMALL = True
SIDE = 40 if SMALL else 64
STEPS = 20 if SMALL else 4000
# A new folder each time: no run is written over.
RUNS = Path("runs", f"{datetime.now():%Y-%m-%d_%H%M%S}")

# %% [markdown]
# ## 1. Load the data
#
# Digits drawn by the project and moved by the published rule of Moving MNIST: nothing is downloaded. With MNIST at hand, give `root="FOLDER"`; the official test file is the data
# set `moving_mnist`.

# %%
settings = {"canvas": SIDE, "past": 10, "future": 10, "digits": 1 if SMALL else 2}
data = open_data("moving_digits", settings)
windows_BTCHW = data.test.batch(np.arange(8))
windows_BTCHW.shape

# %% [markdown]
# ## 2. Look at it: 4 × 5 frames

# %%
display(Image(plot.grid(windows_BTCHW[0], "grid.png")))

# %% [markdown]
# The tutorial trains on **shifted frames**: the input is frames 0 … 18, the target is frames 1 … 19. Each target is the next frame of its input.

# %%
inputs, targets = windows_BTCHW[:, :-1], windows_BTCHW[:, 1:]
figure, axes = plt.subplots(2, 6, figsize=(9, 3.2))
for column in range(6):
    for row, (name, frames) in enumerate((("input", inputs), ("target", targets))):
        axes[row, column].imshow(frames[0, column, 0], cmap="gray")
        axes[row, column].set_title(f"{name} {column + row}", fontsize=9)
        axes[row, column].axis("off")

# %% [markdown]
# ## 3. Train three ConvLSTM layers
#
# 5×5, 3×3 and 1×1 kernels, batch normalisation between them, a 3×3×3 head, binary cross-entropy and Adam, as in the tutorial. Its callbacks are settings here: `EarlyStopping(10)` is
# `early_stopping`, `ReduceLROnPlateau(5)` is the schedule `plateau`. The curve below grows while it trains.

# %%
filters = [8, 8, 8] if SMALL else [64, 64, 64]
tutorial = framecast.train(
    "moving_digits",
    RUNS / "tutorial",
    model="keras_conv_lstm",
    settings={
        "data": settings,
        "model": {"filters": filters, "loss": "bce"},
        "train": {
            "steps": STEPS,
            "batch": 4,
            "optimizer": "adam",
            "learning_rate": 1e-2 if SMALL else 1e-3,
            "schedule": "plateau",
            "plateau_patience": 5,
            "early_stopping": 10,
            "monitor": "loss",
            "validations": 2,
            "validation_windows": 16,
            "grow": 0,
        },
    },
    watches=[framecast.live_curve()],
)

# %% [markdown]
# ## 4. Forecast ten frames: 2 × 10

# %%
past, truth = windows_BTCHW[:1, :10], windows_BTCHW[:1, 10:]
forecast = rollout(tutorial, past, horizon=10)
display(Image(plot.strip(None, truth[0], forecast[0], "strip.png")))

# %% [markdown]
# ## 5. Play it
#
# Truth, forecast and error, in step. The forecast is fed back frame by frame: nothing of the truth goes in after the tenth frame.

# %%
like = Clip(np.zeros((1, SIDE, SIDE, 1), np.uint8))
framecast.show(to_clip(forecast, like), to_clip(truth, like), past=to_clip(past, like))

# %% [markdown]
# # What is wrong with the original
#
# ## Its head looks ahead
#
# The published network ends in a Conv3D with "same" padding, which sees one frame of the future. `check` changes one input frame, and looks which outputs move.

# %%
published = build_model(
    "keras_conv_lstm", {"filters": filters, "head": "tutorial"}, Task(1, SIDE, SIDE, 10, 10)
)
causal = build_model("keras_conv_lstm", {"filters": filters}, Task(1, SIDE, SIDE, 10, 10))
for name, model in (("as published", published), ("with a causal head", causal)):
    failed = [verdict.detail for verdict in check(model) if not verdict.passed]
    print(f"{name}: {failed or 'all probes passed'}")

# %% [markdown]
# The same as a picture: how much each output moves when frame 6 is changed. A forecast of frame *n* may depend on frames before *n* alone, so output 5, the
# forecast of frame 6, has to stay.

# %%
figure, axis = plt.subplots(figsize=(7, 2.6))
for name, model in (("as published", published), ("causal", causal)):
    model.eval()
    changed = inputs[:1, :10].clone()
    changed[:, 6] = 1 - changed[:, 6]
    with torch.no_grad():
        moved = (model.next_frames(changed)[0] - model.next_frames(inputs[:1, :10])[0]).abs()
    axis.plot(moved.mean(dim=(0, 2, 3, 4)), "o-", label=name)
axis.axvline(5.5, color="gray", linewidth=0.8)
axis.set(xlabel="output", ylabel="mean change", title="Frame 6 is changed")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Its animations feed the truth
#
# The GIFs at its end are made of one-step outputs for *true* frames, up to the last one. Here is the difference: one step ahead of true frames, against ten frames on its own.
# After the few steps of `SMALL` the network forecasts little but grey, whatever it is fed, and the two lines lie on each other; they part as it learns.

# %%
with torch.no_grad():
    fed_truth = tutorial.next_frames(windows_BTCHW[:, :-1])[0][:, 9:]
own = rollout(tutorial, windows_BTCHW[:, :10], horizon=10)
error = {
    "fed true frames, as in the GIFs": fed_truth - windows_BTCHW[:, 10:],
    "on its own": own - windows_BTCHW[:, 10:],
    "last frame repeated": windows_BTCHW[:, 9:10] - windows_BTCHW[:, 10:],
}
figure, axis = plt.subplots(figsize=(7, 3))
for name, difference in error.items():
    axis.plot(range(1, 11), difference.square().sum(dim=(2, 3, 4)).mean(dim=0), "o-", label=name)
axis.set(xlabel="lead time in frames", ylabel="MSE per frame")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## It trains on the test file
#
# The tutorial takes its training sequences from `mnist_test_seq.npy`, and parts them without a seed. Here training, validation and test have digits of their own, and
# `framecast check RUN --data moving_digits` looks for frames that are on two sides.
#
# # The better way
#
# The default model of framecast, trained for free-running forecasts: six times as many steps, of which each costs a quarter.

# %%
better = framecast.train(
    "moving_digits",
    RUNS / "better",
    model="conv_lstm",
    settings={
        "data": settings,
        "model": {"hidden": [16, 16] if SMALL else [48, 48]},
        "train": {"steps": 6 * STEPS, "batch": 4, "validations": 2, "validation_windows": 16},
    },
    watches=[framecast.live_curve()],
)

# %%
figure, axis = plt.subplots(figsize=(7, 3))
many_BTCHW = data.test.batch(np.arange(32))
for name, model in (
    ("last frame repeated", build_model("persistence")),
    ("tutorial", tutorial),
    ("framecast", better),
):
    difference = rollout(model, many_BTCHW[:, :10], 10) - many_BTCHW[:, 10:]
    axis.plot(range(1, 11), difference.square().sum(dim=(2, 3, 4)).mean(dim=0), "o-", label=name)
axis.set(xlabel="lead time in frames", ylabel="MSE per frame")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## What does it look at?
#
# Which past pixels move the circled one, which past frame matters for which lead time, and how far the gates are open.

# %%
found = framecast.explain(better, to_clip(past, like), horizon=10)
display(Image(write_explanation(found, "explained.png")))
print(found.says)

# %%
framecast.show(
    to_clip(rollout(better, past, 10), like), to_clip(truth, like), past=to_clip(past, like)
)

# %% [markdown]
# Next: the notebook `your_own_video`, or `framecast train your_video.mp4` on the command line.
