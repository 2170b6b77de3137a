"""Sums over windows that slide along an axis."""

from torch import Tensor


def window_sums(values: Tensor, count: int, axis: int) -> Tensor:
    """Sums of `count` neighbours, for each window that lies inside: that axis gets shorter.

    Pairs are added, then pairs of pairs: as many additions as `count` has binary digits, twice at
    most. A NaN spoils the windows that hold it and no other.
    """
    length = values.shape[axis] - count + 1
    parts, done = [], 0
    for width in (2**digit for digit in range(count.bit_length())):
        if width > 1:
            shorter, half = values.shape[axis] - width // 2, width // 2
            values = values.narrow(axis, 0, shorter) + values.narrow(axis, half, shorter)
        if count & width:
            parts.append(values.narrow(axis, done, length))
            done += width
    return sum(parts[1:], start=parts[0])
