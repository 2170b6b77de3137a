"""Clips that are made by code, for those who have no video at hand.

Shapes: T frames, H height, W width, K blobs; the axes of a place are y and x, hence 2.
"""

import io
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framecast.data.drawn_digits import SIDE as SIDE_OF_DIGIT
from framecast.data.drawn_digits import draw_digits
from framecast.data.moving_digits import DigitWindows, MovingDigitsConfig
from framecast.errors import InputError

FRAMES, SIDE = 40, 64


def _digits(count: int, seed: int) -> NDArray[np.uint8]:
    half = FRAMES // 2
    settings = {"digits": count, "past": half, "future": FRAMES - half, "seed": seed}
    config = MovingDigitsConfig.parse("clip", settings)
    window_BTCHW = DigitWindows(config, "test").batch(np.array([0]))
    pixels: NDArray[np.uint8] = np.rint(255 * window_BTCHW[0, :, 0].numpy()).astype(np.uint8)
    return pixels


def _showers() -> NDArray[np.uint8]:
    """Soft blobs that drift, grow and fade, as rain does on a radar."""
    rng = np.random.default_rng(7)
    place_2K = rng.uniform(-20, SIDE, (2, 14))
    radius_K, phase_K = rng.uniform(4, 9, 14), rng.uniform(0, 2 * np.pi, 14)
    y_HW, x_HW = np.mgrid[:SIDE, :SIDE]
    frames = []
    for time in range(FRAMES):
        frame_HW = np.zeros((SIDE, SIDE))
        for (y, x), radius, phase in zip(place_2K.T, radius_K, phase_K, strict=True):
            far_HW = (y_HW - y - 0.5 * time) ** 2 + (x_HW - x - 0.9 * time) ** 2
            frame_HW += (0.7 + 0.3 * np.sin(phase + time / 6)) * np.exp(-far_HW / radius**2 / 2)
        frames.append(np.rint(255 * frame_HW.clip(0, 1)))
    return np.stack(frames).astype(np.uint8)


def _pendulum() -> NDArray[np.uint8]:
    """A disc on a string: a motion that repeats."""
    y_HW, x_HW = np.mgrid[:SIDE, :SIDE]
    frames = []
    for time in range(FRAMES):
        angle = 0.9 * np.cos(2 * np.pi * time / 18)
        y, x = 4 + 42 * np.cos(angle), SIDE / 2 + 42 * np.sin(angle)
        along_HW = ((y_HW - 4) * (y - 4) + (x_HW - SIDE / 2) * (x - SIDE / 2)) / 42**2
        share_HW = along_HW.clip(0, 1)
        string_HW = np.hypot(
            y_HW - 4 - share_HW * (y - 4), x_HW - SIDE / 2 - share_HW * (x - SIDE / 2)
        )
        disc_HW = np.hypot(y_HW - y, x_HW - x) - 7
        frame_HW = np.maximum((0.5 - disc_HW).clip(0, 1), 0.5 * (1 - string_HW).clip(0, 1))
        frames.append(np.rint(255 * frame_HW))
    return np.stack(frames).astype(np.uint8)


CLIPS = {
    "two digits": lambda: _digits(2, seed=3),
    "three digits": lambda: _digits(3, seed=5),
    "showers": _showers,
    "pendulum": _pendulum,
}


@cache
def as_npy(name: str) -> bytes:
    """A clip as an .npy file: 40 frames of 64×64.

    Raises:
        InputError: there is no such clip.
    """
    if name not in CLIPS:
        raise InputError(f"the clip {name!r:.80}", "is not there", "see /v1/clips")
    file = io.BytesIO()
    np.save(file, CLIPS[name]())
    return file.getvalue()


@cache
def glyphs() -> dict[str, Any]:
    """Ten drawn digits, 28×28 pixels each, for clients that place them themselves."""
    digits_PHW, label_P = draw_digits(np.random.default_rng(1), 100)
    chosen = [digits_PHW[label_P == digit][0].tolist() for digit in range(10)]
    return {"side": SIDE_OF_DIGIT, "digits": chosen}
