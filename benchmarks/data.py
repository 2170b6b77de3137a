"""How fast the moving digits are made, on one core: `python -m benchmarks.data`."""

import sys
import time

import numpy as np
import torch

from framecast.data.drawn_digits import draw_digits
from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig

SECONDS = 2.0


def sequences_per_second(batch: int) -> float:
    """Sequences of 20 frames of 64x64 with two digits, in batches of fresh ones."""
    train = MovingDigits(MovingDigitsConfig.parse("data", {})).train
    train.batch(np.arange(batch))  # draws the digits
    start, count = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        train.batch(np.arange(count, count + batch))
        count += batch
    return count / (time.process_time() - start)


def main() -> None:
    """Print a line for each measurement."""
    torch.set_num_threads(1)
    start = time.process_time()
    digits = draw_digits(np.random.default_rng(0), 8000)[0]
    seconds = time.process_time() - start
    sys.stdout.write(f"drawing {len(digits)} digits: {seconds:.2f} s\n")
    for batch in (1, 16, 64):
        speed = sequences_per_second(batch)
        sys.stdout.write(f"moving digits, batch {batch}: {speed:.0f} sequences/s\n")


if __name__ == "__main__":
    main()
