"""Drawn digits look like those of MNIST, as far as numbers can tell."""

from pathlib import Path

import numpy as np
import pytest

from framecast.data.drawn_digits import COUNTS, SEED, draw_digits, drawn_digits
from framecast.data.mnist import mnist_digits

SHARED = Path(__file__).parents[3] / "shared" / "data" / "mnist"


@pytest.fixture(scope="module")
def drawing():
    return draw_digits(np.random.default_rng(1), 3000)


def look(digits):
    """Mean, contrast, share of grey pixels, stroke width, width, spread of width."""
    ink = digits > 127
    border = (ink[:, 1:] != ink[:, :-1]).sum((1, 2)) + (ink[:, :, 1:] != ink[:, :, :-1]).sum((1, 2))
    strokes = 2 * ink.sum((1, 2)) / (np.pi / 4 * border)  # area over half the outline
    grey = ((digits > 0) & (digits < 250)).mean()
    widths = [np.sum(digit.max(0) > 0) for digit in digits]
    light = digits.mean() / 255, digits.std() / 255, grey
    return np.array([*light, strokes.mean(), np.mean(widths), np.std(widths)])


def test_the_pools_have_their_numbers_and_are_kept():
    for split, count in COUNTS.items():
        digits = drawn_digits(split)
        assert digits.shape == (count, 28, 28)
        assert digits.dtype == np.uint8
        assert drawn_digits(split) is digits
        assert not digits.flags.writeable


def test_the_same_seed_draws_the_same_digits():
    stream = np.random.SeedSequence(SEED, spawn_key=(2,))
    again, _ = draw_digits(np.random.default_rng(stream), COUNTS["test"])
    np.testing.assert_array_equal(again, drawn_digits("test"))


def test_each_digit_is_drawn_about_as_often(drawing):
    numbers = np.bincount(drawing[1], minlength=10)
    assert len(numbers) == 10
    assert abs(numbers - 300).max() < 5 * np.sqrt(270)


def test_no_digit_is_drawn_twice(drawing):
    assert len(np.unique(drawing[0].reshape(3000, -1), axis=0)) == 3000


def test_the_longer_side_fills_20_pixels_and_the_mass_is_in_the_middle(drawing):
    digits = drawing[0].astype(float)
    longer = [max((digit.max(1) > 0).sum(), (digit.max(0) > 0).sum()) for digit in digits]
    assert max(longer) <= 20
    assert min(longer) >= 18
    mass = digits.sum((1, 2))
    for axis in (2, 1):
        centre = digits.sum(axis) @ (np.arange(28) + 0.5) / mass
        assert abs(centre - 14).max() < 1


def test_brightness_and_strokes_are_those_of_mnist(drawing):
    # Of the 60,000 training digits of MNIST.
    mnist = np.array([0.1307, 0.3081, 0.117, 2.57, 15.9, 3.7])
    np.testing.assert_allclose(look(drawing[0]), mnist, rtol=0.06)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the MNIST files are not here")
def test_brightness_and_strokes_beside_mnist(drawing):
    np.testing.assert_allclose(
        look(drawing[0]), look(mnist_digits(SHARED, "train")[:5000]), rtol=0.06
    )


def test_digits_can_be_told_apart(drawing):
    digits, numbers = drawing
    flat = digits.reshape(3000, -1) / np.float32(255)
    known, asked = flat[:2500], flat[2500:]
    distance = (known**2).sum(1) - 2 * asked @ known.T
    told = numbers[:2500][distance.argmin(1)]
    assert (told == numbers[2500:]).mean() > 0.9
