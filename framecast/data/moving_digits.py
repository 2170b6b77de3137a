"""Moving digits: the generator of Moving MNIST, from real or drawn digits.

Paper: Srivastava, Mansimov and Salakhutdinov, "Unsupervised learning of video representations using
LSTMs", ICML 2015, arXiv:1502.04681. Positions, bounces and drawing are those of the authors' code:
a digit that reaches a wall stops there for one frame, and its way beyond is lost, not mirrored.

Shapes: B batch, T frames, K digits of a sequence, P digits to draw from, C channels, H height,
W width; the axes of a position are y and x, hence 2.
"""

import hashlib
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from framecast.data.drawn_digits import SIDE, Split, drawn_digits
from framecast.data.mnist import find_mnist, mnist_digits
from framecast.data.windows import DataConfig, Windows

STREAMS: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
SCRATCH = 2**20  # bytes of frames drawn at a time, so that they stay in the cache


class MovingDigitsConfig(DataConfig):
    """Settings of `moving_digits`; the defaults are those of Moving MNIST."""

    root: str | None = Field(None, description="folder with the MNIST files; without: drawn digits")
    drawn: float = Field(0, ge=0, le=1, description="share of drawn digits beside those of root")
    digits: int = Field(2, ge=1, le=100, description="digits in a sequence")
    canvas: tuple[int, int] = Field((64, 64), description="frame size: height,width or one side")
    speed: float = Field(0.1, ge=0, le=1, description="way per frame, 1 from wall to wall")
    seed: int = Field(0, ge=0, description="of the sequences")
    epoch: int = Field(10_000, ge=1, description="training sequences that count as one epoch")
    validation: int = Field(500, ge=1, description="number of validation sequences")
    test: int = Field(1000, ge=1, description="number of test sequences")

    @field_validator("canvas", mode="before")
    @classmethod
    def _square(cls, canvas: Any) -> Any:
        """One side stands for a square: 64, or "64" as typed."""
        parts = canvas if isinstance(canvas, list | tuple) else [canvas]
        return tuple(parts) * 2 if len(parts) == 1 else parts

    @model_validator(mode="after")
    def _has_both_kinds(self) -> Self:
        if self.drawn and self.root is None:
            raise ValueError(
                "drawn is a share beside the digits of root: give root, or leave it out"
            )
        return self

    @field_validator("canvas")
    @classmethod
    def _holds_a_digit(cls, canvas: tuple[int, int]) -> tuple[int, int]:
        if min(canvas) < SIDE or max(canvas) > 4096:
            raise ValueError(f"Give sides from {SIDE} to 4096 pixels")
        return canvas


class MovingDigits:
    """Digits that fly over a black canvas and bounce off its sides, with no end of training."""

    Config: ClassVar[type[DataConfig]] = MovingDigitsConfig
    citation: ClassVar[str] = "Srivastava et al., ICML 2015, arXiv:1502.04681"
    name = "moving_digits"

    def __init__(self, config: MovingDigitsConfig) -> None:
        self.config = config
        self.train: Windows = DigitWindows(config, "train")
        self.validation: Windows = DigitWindows(config, "validation")
        self.test: Windows = DigitWindows(config, "test")


class DigitWindows:
    """One split of `MovingDigits`: each window is a function of (seed, split, index) alone.

    Args:
        config: of the data set.
        split: names the digits to draw from and the stream of random numbers.

    Raises:
        InputError: the MNIST files are missing, here, or damaged, at the first batch.
    """

    def __init__(self, config: MovingDigitsConfig, split: Split) -> None:
        if config.root is not None:
            find_mnist(config.root, split)
        self.config, self.split = config, split
        self._there: tuple[torch.device, Tensor] | None = None  # the digits, where drawn last

    def __len__(self) -> int:
        return {
            "train": self.config.epoch,
            "validation": self.config.validation,
            "test": self.config.test,
        }[self.split]

    @property
    def endless(self) -> bool:
        """Training has fresh sequences for ever."""
        return self.split == "train"

    @property
    def shape_TCHW(self) -> tuple[int, int, int, int]:
        """Shape of one window."""
        return self.config.past + self.config.future, 1, *self.config.canvas

    @cached_property
    def digits_PHW(self) -> NDArray[np.uint8]:
        """The digits that this split draws from."""
        if self.config.root is None:
            return drawn_digits(self.split)
        digits_PHW = mnist_digits(self.config.root, self.split)
        if not self.config.drawn:
            return digits_PHW
        return np.concatenate([digits_PHW, drawn_digits(self.split)])

    def batch(self, index_B: NDArray[np.int64]) -> Tensor:
        """The windows of these indices: window_BTCHW, float32 in [0, 1]."""
        digit_BK, corner_2BTK = self._plan(index_B)
        frames, _, height, width = self.shape_TCHW
        window_BTCHW = torch.empty(len(index_B), *self.shape_TCHW)
        step = max(1, SCRATCH // (frames * height * width))
        for first in range(0, len(index_B), step):
            part = slice(first, first + step)
            digits_BKHW = self.digits_PHW[digit_BK[part]]
            frames_BTHW = render(digits_BKHW, corner_2BTK[:, part], (height, width))
            window_BTCHW[part, :, 0].copy_(torch.from_numpy(frames_BTHW)).div_(255)
        return window_BTCHW

    def batch_on(self, index_B: NDArray[np.int64], device: torch.device) -> Tensor:
        """The same on a device: what is drawn is decided here, and it is drawn there."""
        if device.type == "cpu":
            return self.batch(index_B)
        return self._draw_on(index_B, device)

    def _draw_on(self, index_B: NDArray[np.int64], device: torch.device) -> Tensor:
        digit_BK, corner_2BTK = self._plan(index_B)
        if self._there is None or self._there[0] != device:
            self._there = device, torch.from_numpy(self.digits_PHW.copy()).to(device)
        digits_BKHW = self._there[1][torch.from_numpy(digit_BK).to(device)]
        corner = torch.from_numpy(corner_2BTK.astype(np.int16)).to(device).long()
        frames_BTHW = render_torch(digits_BKHW, corner, self.config.canvas)
        # A tensor: by a number, a GPU would multiply with its rounded inverse.
        return frames_BTHW[:, :, None].float().div_(torch.full((), 255.0, device=device))

    def _plan(self, index_B: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which digits the sequences have, digit_BK, and where they are, corner_2BTK in pixels."""
        assert np.all(index_B >= 0), "no such window"
        assert self.endless or np.all(index_B < len(self)), "no such window"
        frames, _, height, width = self.shape_TCHW
        start_2BK, angle_BK, ticket_BK = draw_lots(
            self.config.seed, self.split, index_B, self.config.digits
        )
        way_2111 = np.array([height - SIDE, width - SIDE]).reshape(2, 1, 1, 1)
        place_2TBK = fly(start_2BK, angle_BK, frames, self.config.speed)
        corner_2BTK = (way_2111 * place_2TBK).astype(np.int64).swapaxes(1, 2)
        return self._pick(ticket_BK), corner_2BTK

    def _pick(self, ticket_BK: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Which digits: digit_BK. Where both kinds are there, the drawn ones lie at the end."""
        count = len(self.digits_PHW)
        if self.config.root is None or not self.config.drawn:
            return (ticket_BK % count).astype(np.int64)
        drawn = len(drawn_digits(self.split))
        is_drawn_BK = (ticket_BK >> np.uint64(32)) < self.config.drawn * 2**32
        real_BK, drawn_BK = ticket_BK % (count - drawn), count - drawn + ticket_BK % drawn
        return np.where(is_drawn_BK, drawn_BK, real_BK).astype(np.int64)

    def fingerprint(self) -> str:
        """A hash of the settings that shape the sequences, and of the digits."""
        free = {"root", "epoch", "validation", "test"}
        told = f"{self.split} {self.config.model_dump_json(exclude=free)}"
        return hashlib.sha256(told.encode() + self.digits_PHW.tobytes()).hexdigest()[:16]


def draw_lots(
    seed: int, split: Split, index_B: NDArray[np.int64], digits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64]]:
    """Random numbers of the sequences of these indices.

    Philox is a function of a key and a counter. The key comes from seed and split, the counter is
    (block, index): so no two sequences share a number, and each digit of one takes a block of four.

    Returns:
        start_2BK in [0, 1), angle_BK in [0, 2π), and ticket_BK, any 64 bits, to pick a digit by.
    """
    key = np.random.SeedSequence(seed, spawn_key=(STREAMS[split],)).generate_state(2, np.uint64)
    philox = np.random.Philox(key=key)
    state = philox.state
    raw_BK4 = np.empty((len(index_B), digits, 4), np.uint64)
    for raw_K4, index in zip(raw_BK4, index_B.tolist(), strict=True):
        state["state"]["counter"] = np.array([0, index, 0, 0], np.uint64)
        philox.state = state  # seven times faster than a new Philox
        raw_K4[:] = philox.random_raw(raw_K4.size).reshape(raw_K4.shape)
    share_BK3 = (raw_BK4[..., :3] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    start_2BK = np.moveaxis(share_BK3[..., :2], -1, 0)
    return start_2BK, 2 * np.pi * share_BK3[..., 2], raw_BK4[..., 3]


def fly(
    start_2BK: NDArray[np.float64], angle_BK: NDArray[np.float64], frames: int, speed: float
) -> NDArray[np.float64]:
    """Places of the digits in frame after frame, place_2TBK in [0, 1] along the free way."""
    place_2BK = start_2BK.copy()
    velocity_2BK = speed * np.stack([np.sin(angle_BK), np.cos(angle_BK)])
    place_2TBK = np.empty((2, frames, *angle_BK.shape))
    for frame in range(frames):
        place_2BK += velocity_2BK
        bounce_2BK = (place_2BK <= 0) | (place_2BK >= 1)
        np.clip(place_2BK, 0, 1, out=place_2BK)
        np.negative(velocity_2BK, out=velocity_2BK, where=bounce_2BK)
        place_2TBK[:, frame] = place_2BK
    return place_2TBK


def render(
    digits_BKHW: NDArray[np.uint8], corner_2BTK: NDArray[np.int64], canvas: tuple[int, int]
) -> NDArray[np.uint8]:
    """Draw digits with their top left corners at (y, x); where they overlap, the brighter shows.

    A digit whose rows are filled up with black to the width of the canvas is one run of the frames'
    bytes. Runs are laid over the frames of all sequences at once, one digit of each at a time.
    """
    (height, width), (batch, digits), frames = canvas, digits_BKHW.shape[:2], corner_2BTK.shape[2]
    rows_BKHW = np.zeros((batch, digits, SIDE, width), np.uint8)
    rows_BKHW[..., :SIDE] = digits_BKHW
    length = (SIDE - 1) * width + SIDE
    run_BKR = rows_BKHW.reshape(batch, digits, -1)[:, :, :length]
    canvas_R = np.zeros(batch * frames * height * width, np.uint8)
    under_R = np.lib.stride_tricks.sliding_window_view(canvas_R, length, writeable=True)
    frame_BT = height * width * np.arange(batch * frames).reshape(batch, frames)
    y_BTK, x_BTK = corner_2BTK
    for digit in range(digits):
        at_BT = frame_BT + y_BTK[..., digit] * width + x_BTK[..., digit]
        under_R[at_BT] = np.maximum(under_R[at_BT], run_BKR[:, digit, None])
    return canvas_R.reshape(batch, frames, height, width)


def render_torch(digits_BKHW: Tensor, corner_2BTK: Tensor, canvas: tuple[int, int]) -> Tensor:
    """What `render` draws, on any device. On a CPU it takes eight times as long."""
    (height, width), (batch, digits) = canvas, digits_BKHW.shape[:2]
    frames = corner_2BTK.shape[2]
    canvas_R = digits_BKHW.new_zeros(batch * frames * height * width)
    last = (SIDE - 1) * (width + 1)  # from a digit's first pixel to its last
    under_RHW = canvas_R.as_strided((max(0, len(canvas_R) - last), SIDE, SIDE), (1, width, 1))
    frame_BT = height * width * torch.arange(batch * frames, device=canvas_R.device)
    y_BTK, x_BTK = corner_2BTK
    for digit in range(digits):
        at_BT = frame_BT.view(batch, frames) + y_BTK[..., digit] * width + x_BTK[..., digit]
        under_RHW[at_BT] = torch.maximum(under_RHW[at_BT], digits_BKHW[:, digit, None])
    return canvas_R.view(batch, frames, height, width)
