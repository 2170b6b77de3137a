# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 用你自己的视频
#
# 从影片到后续帧的预测，以及对预测质量的如实评价。把影片路径写进 `VIDEO`；不写则画一段小影片。

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
# ## 训练
#
# 影片按时间分成训练、验证、测试三段，中间留有间隔。训练看不到测试段的任何内容。

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
# ## 预测得好吗？
#
# 模型预测留出部分的窗口，与几个不花力气的预测并列：重复最后一帧、平均帧、让移动的继续移动。

# %%
scores = evaluate_run(RUN, str(VIDEO), {"size": SIDE, "grey": True})
print(scores.verdict())
display(Image(plot.lead_curves(scores.curves("mse"), "mse.png")))

# %% [markdown]
# ## 预测后续帧

# %%
future = framecast.forecast(model, clip, horizon=2 * FUTURE)
framecast.write(future, "next.gif")
framecast.show(future)

# %% [markdown]
# `FUTURE` 帧之前它会怎么说？那里的真实帧是已知的，而且在训练没有见过的测试段里。

# %%
before, after = clip.cut(0, len(clip) - FUTURE), clip.cut(len(clip) - FUTURE)
framecast.show(
    framecast.forecast(model, before, FUTURE), after, past=before.cut(len(before) - PAST)
)

# %% [markdown]
# ## 它在看什么？

# %%
found = framecast.explain(model, clip, horizon=FUTURE)
display(Image(write_explanation(found, "explained.png")))
print(found.says)

# %% [markdown]
# ## 当它不比“重复最后一帧”好时
#
# - 训练更久，或先用更小的尺寸：移动的规律照样能学到。
# - 物体每帧移动的距离超过模型的视野（见上面的 reach）：减小尺寸，或 `model.kernel=[5]`。
# - 什么都不动：那么重复最后一帧**就是**最好的预测，得分也会这样说。
