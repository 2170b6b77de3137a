"""Digits drawn by strokes: the embedded default of `moving_digits`, which needs no download.

A digit is a few strokes through given points. Each drawing moves the points, bends the plane,
slants and stretches the whole, picks a pen and presses it unevenly. It is framed as MNIST frames
digits: scaled into 20x20 pixels, and put into 28x28 with the centre of mass in the middle. The
spread of each step was tuned until brightness, stroke width and extent were those of MNIST.

Shapes: B digits, U points of a glyph, P dots along its strokes, W waves, Y and X pixels of the
20x20 box; the axes of a point are x and y, hence 2.
"""

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
Floats = NDArray[np.float32]

COUNTS: dict[Split, int] = {"train": 6000, "validation": 1000, "test": 1000}
SEED = 20150216  # of all digits; no setting changes it, so that every run sees the same digits
DOTS = 96  # along the strokes of one digit: at most 0.7 pixels apart
BOX, SIDE = 20, 28  # pixels, as in MNIST
CHUNK = 256  # digits inked at a time, so that they stay in the cache

# The digit, its weight among the glyphs of that digit, and the strokes through points "x,y" in
# percent, y downwards. A "/" lifts the pen or turns a sharp corner. Two points of the same place
# are one point and move together.
GLYPHS = """
0 3  50,0 28,5 11,24 2,50 5,78 19,95 38,100 59,94 75,76 84,50 79,22 68,5 50,0
0 2  73,8 49,0 26,10 8,34 2,64 13,92 37,100 63,88 81,60 82,28 66,6 42,2
0 2  44,4 27,22 15,50 12,78 26,99 47,88 63,62 69,30 62,6 44,4
0 1  85,2 62,4 37,12 12,36 2,68 15,94 39,99 65,84 84,54 80,24 64,8 44,6 34,16
1 8  63,0 54,33 46,67 37,100
1 1  30,22 52,0 / 52,0 48,50 43,100
1 1  28,20 52,0 / 52,0 48,50 43,100 / 16,100 43,100 72,98
2 3  10,25 32,3 60,5 70,28 48,65 5,98 / 5,98 40,93 85,97
2 3  8,20 32,2 62,6 68,34 48,66 24,92 8,94 8,80 24,74 48,84 72,96 94,92
2 2  4,12 30,2 60,5 68,26 46,60 8,92 / 8,92 30,82 56,92 96,96
2 2  12,38 20,10 48,0 72,18 68,45 46,74 22,94 6,92 10,76 32,78 56,92 92,84
2 2  18,22 40,0 70,8 64,40 36,74 0,96 / 0,96 30,84 60,88 112,80
2 1  8,10 40,3 78,8 / 78,8 45,50 5,95 / 5,95 45,93 88,96
2 1  14,34 26,6 54,2 66,22 56,48 36,74 16,96 6,86 20,72 44,80 62,96 84,84
3 3  12,13 40,0 66,12 62,34 35,47 / 35,47 66,56 72,80 42,99 6,90
3 2  8,18 34,1 62,8 60,32 42,46 34,50 44,50 68,58 74,80 50,98 22,98 2,84
3 2  18,10 46,0 64,14 50,38 30,46 / 30,46 58,58 64,80 40,100 14,96
3 1  10,5 40,5 70,3 / 70,3 35,42 / 35,42 70,55 66,88 35,100 5,90
4 3  22,0 8,42 14,55 45,52 76,45 / 70,0 60,50 54,100
4 2  15,5 10,50 / 10,50 40,52 66,50 / 66,0 65,50 64,100
4 1  60,0 30,32 5,62 / 5,62 45,60 86,58 / 60,0 58,50 58,100
4 1  30,0 14,28 6,48 24,54 52,42 72,8 / 72,8 62,50 48,100
4 1  30,0 20,28 12,48 / 12,48 44,50 84,42 / 74,2 60,50 44,100
5 3  80,3 30,5 / 30,5 20,45 / 20,45 55,40 72,62 58,92 10,98
5 2  85,0 50,5 30,20 40,42 65,60 60,90 25,100 5,90
5 2  96,0 62,6 36,10 / 36,10 24,44 / 24,44 52,46 64,66 50,90 22,100 0,90
5 2  112,0 75,10 42,14 / 42,14 34,46 / 34,46 60,46 66,66 46,90 0,98
5 1  24,4 20,44 / 20,44 52,40 68,62 54,92 8,98 / 24,4 56,3 88,0
5 1  30,8 22,46 52,38 78,52 76,82 48,100 8,92 / 30,8 60,8 90,2
6 3  62,0 30,30 10,65 25,97 55,92 64,70 45,56 15,72
6 2  40,0 15,50 12,85 40,100 65,80 50,60 20,72
6 2  52,0 28,22 8,58 10,86 34,100 62,92 74,74 58,62 34,72 22,92
7 3  5,8 40,6 75,5 / 75,5 50,45 35,100
7 2  6,24 10,6 / 10,6 40,6 75,3 / 75,3 56,45 44,100
7 1  5,8 40,6 75,5 / 75,5 50,45 35,100 / 22,52 50,50 75,48
7 1  4,18 24,4 48,8 72,4 66,30 46,66 34,100
7 1  0,26 4,12 / 4,12 40,10 90,0 / 90,0 60,45 36,100
7 1  10,30 14,4 / 14,4 40,4 64,2 / 64,2 68,50 64,100
8 2  70,13 45,0 22,16 34,40 60,60 66,86 40,100 16,86 26,62 54,40 70,13
8 2  76,10 50,0 24,12 28,34 56,54 66,76 50,98 24,96 14,78 30,56 56,38 84,6
8 2  46,46 26,38 20,18 34,2 54,1 70,14 66,34 46,46 24,60 14,82 28,98 52,100 72,86 68,62 46,46
8 2  60,8 40,2 28,16 36,38 54,60 56,84 38,100 24,84 34,60 54,40 64,18 56,4
8 2  82,4 54,2 30,14 32,34 54,52 66,72 54,96 28,98 18,80 34,58 62,42 84,22
8 1  78,4 56,0 34,10 30,28 46,44 58,62 56,86 38,100 18,92 18,72 36,54 58,38 66,18 56,2
8 1  50,46 14,34 10,12 44,0 84,8 88,30 50,46 12,64 10,90 48,100 90,90 90,62 50,46
9 3  66,18 45,3 17,22 20,46 48,48 66,18 / 66,18 64,60 58,100
9 2  65,10 40,2 16,28 25,46 58,30 / 68,5 50,60 40,100
9 1  68,15 40,0 14,25 30,48 62,34 68,15 / 68,15 70,60 56,94 20,98
9 1  70,14 52,2 30,12 20,34 34,46 56,34 72,10 60,50 48,100
9 1  60,6 36,4 14,22 10,44 28,54 52,44 70,14 / 70,14 70,56 66,100
9 1  70,20 44,4 18,20 24,42 52,42 70,20 / 70,20 62,70 40,98 14,88
"""


class Glyph(NamedTuple):
    """One way to write a digit: its dots are weights_PU times its points."""

    digit: int
    weight: float
    points_2U: Floats
    weights_PU: Floats


@cache
def drawn_digits(split: Split) -> NDArray[np.uint8]:
    """The digits of one split, (P, 28, 28), drawn at the first call and then kept.

    The splits come from disjoint streams of random numbers, so that no digit is in two of them.
    """
    stream = np.random.SeedSequence(SEED, spawn_key=(list(COUNTS).index(split),))
    digits, _ = draw_digits(np.random.default_rng(stream), COUNTS[split])
    digits.setflags(write=False)
    return digits


def draw_digits(
    rng: np.random.Generator, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw digits, each of 0 to 9 equally often on average.

    Returns:
        The digits, (count, 28, 28), and which they are.
    """
    glyphs = _glyphs()
    totals = np.zeros(10)
    for glyph in glyphs:
        totals[glyph.digit] += glyph.weight
    chances = [glyph.weight / totals[glyph.digit] / 10 for glyph in glyphs]
    choice_B = rng.choice(len(glyphs), count, p=chances)
    dots_B2P = np.empty((count, 2, DOTS), np.float32)
    for number, glyph in enumerate(glyphs):
        here_B = np.flatnonzero(choice_B == number)
        dots_B2P[here_B] = _shake(rng, glyph, len(here_B))
    dots_B2P = _slant(rng, _warp(rng, dots_B2P))
    radius_BP = _press(rng, count)
    dots_B2P = _fit(dots_B2P, radius_BP)
    parts = [slice(first, first + CHUNK) for first in range(0, count, CHUNK)]
    boxes_BYX = np.concatenate([_ink(dots_B2P[part], radius_BP[part]) for part in parts])
    return _centre(boxes_BYX), np.array([glyph.digit for glyph in glyphs])[choice_B]


@cache
def _glyphs() -> tuple[Glyph, ...]:
    return tuple(_parse(*line.split(maxsplit=2)) for line in GLYPHS.strip().splitlines())


def _parse(digit: str, weight: str, strokes: str) -> Glyph:
    """Spread dots evenly over the strokes of a glyph."""
    routes = [stroke.split() for stroke in strokes.split("/")]
    names = list(dict.fromkeys(name for route in routes for name in route))
    points_U2 = np.array([name.split(",") for name in names], float) / 100
    curves = [_spline([names.index(name) for name in route], len(names)) for route in routes]
    steps = [np.linalg.norm(np.diff(curve @ points_U2, axis=0), axis=1) for curve in curves]
    length = np.cumsum(np.concatenate([np.append(0, step) for step in steps]))
    even_P = np.searchsorted(length, np.linspace(0, length[-1], DOTS))
    weights_PU = np.concatenate(curves)[even_P].astype(np.float32)
    return Glyph(int(digit), float(weight), points_U2.T.astype(np.float32), weights_PU)


def _spline(route: list[int], points: int) -> NDArray[np.float64]:
    """Weights of a Catmull-Rom spline through the points of a route, 50 dots from each to the next.

    Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    t = np.linspace(0, 1, 50)[:, None]
    before, after = -t + 2 * t**2 - t**3, t**3 - t**2
    here, there = 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3
    basis = np.hstack([before, here, there, after]) / 2
    ends, picks = [route[0], *route, route[-1]], np.eye(points)
    return np.concatenate([basis @ picks[ends[i : i + 4]] for i in range(len(route) - 1)])


def _shake(rng: np.random.Generator, glyph: Glyph, count: int) -> Floats:
    """Move the points by slow waves along the glyph, and a little each by itself: dots_B2P."""
    points = glyph.points_2U.shape[1]
    turns_W1 = np.arange(4)[:, None]
    phase_B2W1 = rng.uniform(0, 2 * np.pi, (count, 2, 4, 1))
    height_B2W1 = rng.normal(0, 0.06, (count, 2, 4, 1)) / (1 + turns_W1) ** 0.7
    waves_B2WU = np.cos(2 * np.pi * turns_W1 * np.arange(points) / points + phase_B2W1)
    alone_B2U = rng.normal(0, 0.006, (count, 2, points))
    moved_B2U = glyph.points_2U + (height_B2W1 * waves_B2WU).sum(2) + alone_B2U
    dots_B2P: Floats = moved_B2U.astype(np.float32) @ glyph.weights_PU.T
    return dots_B2P


def _warp(rng: np.random.Generator, dots_B2P: Floats) -> Floats:
    """Bend the plane by two slow waves."""
    count = len(dots_B2P)
    pull_WB21 = rng.normal(0, 0.045, (2, count, 2, 1)).astype(np.float32)
    turns_WB12 = rng.normal(0, 2.5, (2, count, 1, 2)).astype(np.float32)
    phase_WB11 = rng.uniform(0, 2 * np.pi, (2, count, 1, 1)).astype(np.float32)
    bend_WB2P = pull_WB21 * np.sin(turns_WB12 @ dots_B2P + phase_WB11)
    bent_B2P: Floats = dots_B2P + bend_WB2P[0] + bend_WB2P[1]
    return bent_B2P


def _slant(rng: np.random.Generator, dots_B2P: Floats) -> Floats:
    """Stretch, slant and turn."""
    count = len(dots_B2P)
    slant_B, turn_B = rng.normal(0, 0.19, count), rng.normal(0, 0.08, count)
    width_B, one_B = np.exp(rng.normal(0, 0.22, count)), np.ones(count)
    shape_22B = np.array([[width_B, slant_B], [0 * one_B, one_B]])
    turn_22B = np.array([[np.cos(turn_B), -np.sin(turn_B)], [np.sin(turn_B), np.cos(turn_B)]])
    both_B22 = np.einsum("ijb,jkb->bik", turn_22B, shape_22B)
    slanted_B2P: Floats = both_B22.astype(np.float32) @ dots_B2P
    return slanted_B2P


def _press(rng: np.random.Generator, count: int) -> Floats:
    """The radius of the pen at each dot, radius_BP in pixels."""
    pen_B1 = np.exp(rng.normal(np.log(1.23), 0.24, (count, 1)))
    turns_B1, phase_B1 = rng.uniform(2, 9, (count, 1)), rng.uniform(0, 2 * np.pi, (count, 1))
    wave_BP = np.sin(turns_B1 * np.linspace(0, 1, DOTS) + phase_B1)
    radius_BP = pen_B1 * (1 + rng.uniform(0, 0.22, (count, 1)) * wave_BP)
    return radius_BP.astype(np.float32)


def _fit(dots_B2P: Floats, radius_BP: Floats) -> Floats:
    """Scale into the box, pen included, and put into its middle."""
    low_B21, high_B21 = dots_B2P.min(2, keepdims=True), dots_B2P.max(2, keepdims=True)
    room_B11 = BOX - 2 * radius_BP.mean(1)[:, None, None]
    scale_B11 = room_B11 / (high_B21 - low_B21).max(1, keepdims=True)
    fitted_B2P: Floats = (dots_B2P - (low_B21 + high_B21) / 2) * scale_B11 + BOX / 2
    return fitted_B2P


def _ink(dots_B2P: Floats, radius_BP: Floats) -> NDArray[np.uint8]:
    """Ink of a round pen, anti-aliased: boxes_BYX.

    The largest r² − d² over the dots tells how deep a pixel lies in the ink. The batch is the last
    axis here, so that each operation runs over long rows.
    """
    middle_Y1 = np.arange(BOX, dtype=np.float32)[:, None] + np.float32(0.5)
    x_PB, y_PB = np.ascontiguousarray(dots_B2P.transpose(1, 2, 0))
    radius_PB = np.ascontiguousarray(radius_BP.T)
    deepest_YXB = np.full((BOX, BOX, len(dots_B2P)), -np.inf, np.float32)
    depth_YXB = np.empty_like(deepest_YXB)
    for x_B, y_B, radius_B in zip(x_PB, y_PB, radius_PB, strict=True):
        row_YB, column_XB = radius_B**2 - (middle_Y1 - y_B) ** 2, (middle_Y1 - x_B) ** 2
        np.subtract(row_YB[:, None], column_XB[None], out=depth_YXB)
        np.maximum(deepest_YXB, depth_YXB, out=deepest_YXB)
    radius_B = radius_PB.mean(0)
    inside_YXB = radius_B - np.sqrt(np.maximum(radius_B**2 - deepest_YXB, 0))  # pixels to the edge
    ink_YXB = np.clip(0.5 + inside_YXB / 1.1, 0, 1)
    boxes_BYX: NDArray[np.uint8] = np.rint(255 * ink_YXB).astype(np.uint8).transpose(2, 0, 1)
    return boxes_BYX


def _centre(boxes_BYX: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put boxes into 28x28 pixels with the centre of mass in the middle, by whole pixels."""
    middle_X = np.arange(BOX) + 0.5
    mass_2BX = np.stack([boxes_BYX.sum(2), boxes_BYX.sum(1)])
    centre_2B = mass_2BX @ middle_X / mass_2BX.sum(2)
    corner_2B = np.clip(np.rint(SIDE / 2 - centre_2B), 0, SIDE - BOX).astype(np.int64)
    digits = np.zeros((len(boxes_BYX), SIDE, SIDE), np.uint8)
    places = sliding_window_view(digits, (BOX, BOX), axis=(1, 2), writeable=True)
    places[np.arange(len(digits)), corner_2B[0], corner_2B[1]] = boxes_BYX
    return digits
