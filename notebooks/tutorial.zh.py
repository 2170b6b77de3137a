# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 用卷积 LSTM 预测视频的下一帧
#
# 读者熟悉的教程（Keras，*Next-Frame Video Prediction with Convolutional LSTMs*）：读取、查看、训练三层 ConvLSTM、预测、展示。然后把它的问题变成看得见的图，并给出更好的做法。
# 按下面的小规模设置，单核约一分钟跑完：它展示的是过程，而不是网络的真实水平；`SMALL = False` 才是认真的训练。

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
# ## 1. 读取数据
#
# 由本项目绘制、按 Moving MNIST 公布的规则移动的数字：什么都不用下载。手头有 MNIST 时可给出 `root="文件夹"`；官方测试文件是数据集 `moving_mnist`。

# %%
settings = {"canvas": SIDE, "past": 10, "future": 10, "digits": 1 if SMALL else 2}
data = open_data("moving_digits", settings)
windows_BTCHW = data.test.batch(np.arange(8))
windows_BTCHW.shape

# %% [markdown]
# ## 2. 看一看：4 × 5 帧

# %%
display(Image(plot.grid(windows_BTCHW[0], "grid.png")))

# %% [markdown]
# 教程用**错开的帧**训练：输入是第 0 … 18 帧，目标是第 1 … 19 帧。每个目标都是其输入的下一帧。

# %%
inputs, targets = windows_BTCHW[:, :-1], windows_BTCHW[:, 1:]
figure, axes = plt.subplots(2, 6, figsize=(9, 3.2))
for column in range(6):
    for row, (name, frames) in enumerate((("input", inputs), ("target", targets))):
        axes[row, column].imshow(frames[0, column, 0], cmap="gray")
        axes[row, column].set_title(f"{name} {column + row}", fontsize=9)
        axes[row, column].axis("off")

# %% [markdown]
# ## 3. 训练三层 ConvLSTM
#
# 5×5、3×3、1×1 的卷积核，层间批归一化，3×3×3 的输出层，二元交叉熵与 Adam，与教程相同。它的回调在这里是设置：`EarlyStopping(10)` 即 `early_stopping`，`ReduceLROnPlateau(5)` 即学习率策略 `plateau`。
# 下面的曲线随训练一起生长。

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
# ## 4. 预测十帧：2 × 10

# %%
past, truth = windows_BTCHW[:1, :10], windows_BTCHW[:1, 10:]
forecast = rollout(tutorial, past, horizon=10)
display(Image(plot.strip(None, truth[0], forecast[0], "strip.png")))

# %% [markdown]
# ## 5. 播放
#
# 真实、预测与误差同步播放。预测逐帧送回模型：第十帧之后不再输入任何真实帧。

# %%
like = Clip(np.zeros((1, SIDE, SIDE, 1), np.uint8))
framecast.show(to_clip(forecast, like), to_clip(truth, like), past=to_clip(past, like))

# %% [markdown]
# # 原教程的问题
#
# ## 输出层看到了未来
#
# 原网络以时间方向 “same” 填充的 Conv3D 结尾，它会看到后一帧。`check` 改动一个输入帧，看哪些输出跟着变。

# %%
published = build_model(
    "keras_conv_lstm", {"filters": filters, "head": "tutorial"}, Task(1, SIDE, SIDE, 10, 10)
)
causal = build_model("keras_conv_lstm", {"filters": filters}, Task(1, SIDE, SIDE, 10, 10))
for name, model in (("as published", published), ("with a causal head", causal)):
    failed = [verdict.detail for verdict in check(model) if not verdict.passed]
    print(f"{name}: {failed or 'all probes passed'}")

# %% [markdown]
# 画成图：改动第 6 帧时，每个输出变化多少。对第 *n* 帧的预测只能依赖第 *n* 帧之前的帧，所以输出 5（对第 6 帧的预测）必须不变。

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
# ## 动图输入的是真实帧
#
# 它结尾的 GIF 由**真实**帧的单步输出组成，直到最后一帧。差别如下：从真实帧只预测一步，与独立预测十帧。
# `SMALL` 的几步训练之后，网络无论输入什么都只预测一片灰，两条线重合；学得越多，它们分得越开。

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
# ## 它在测试文件上训练
#
# 教程的训练序列取自 `mnist_test_seq.npy`，划分也没有随机种子。这里训练、验证和测试各有自己的数字，`framecast check RUN --data moving_digits` 会查找同时出现在两边的帧。
#
# # 更好的做法
#
# framecast 的默认模型，为自由预测而训练：步数是六倍，每步的计算量是四分之一。

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
# ## 它在看什么？
#
# 哪些过去的像素影响圈出的像素，哪个过去的帧对哪个提前量重要，各个门开了多大。

# %%
found = framecast.explain(better, to_clip(past, like), horizon=10)
display(Image(write_explanation(found, "explained.png")))
print(found.says)

# %%
framecast.show(
    to_clip(rollout(better, past, 10), like), to_clip(truth, like), past=to_clip(past, like)
)

# %% [markdown]
# 接下来：笔记本 `your_own_video`，或命令行 `framecast train your_video.mp4`。
