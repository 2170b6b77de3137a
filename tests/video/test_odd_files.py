"""Real files that trip decoders: read as PyAV reads them, or with a reason to differ."""

import ast
import json
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.read import frames

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd_files"
pytestmark = pytest.mark.skipif(not ODD.exists(), reason="needs the shared data")

# Frames, and whether it ends in an error, where we differ from what FFmpeg does.
DEVIATIONS = {
    # FFmpeg cannot decode animated WebP; Pillow can, and iss634.gif has the same 42 frames.
    "pillow/iss634.webp": (42, False),
    # The APNG specification calls numbers that do not follow each other an error.
    "pillow/sequence_gap.png": (1, True),
    # Cut out of a film of 31.8 s, as its header says; FFmpeg just ends.
    "ffmpeg/RRSF49-short.mp4": (107, True),
    # The header promises more frames than there are: the two that are come, and the lack is told.
    "pillow/syntax_num_frames_high.png": (2, True),
}


@cache
def entries():
    if not ODD.exists():
        return []
    return json.loads((ODD / "expected_decode.json").read_text())["files"]


def decoded(path, **selection):
    """How many frames come, their size, and whether it ends in an error of one line."""
    count, size = 0, None
    try:
        for picture_HWC, _ in frames(path, **selection):
            count += 1
            size = picture_HWC.shape[:2]
    except InputError as error:
        return count, size, "\n" not in str(error)
    return count, size, False


@pytest.mark.slow
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["file"])
def test_frames_sizes_and_rotation_are_as_expected(entry):
    count, size, failed = decoded(ODD / entry["file"])
    expected = int(entry.get("frames_decoded", 0)), entry["ends_in_error"]
    assert (count, failed) == DEVIATIONS.get(entry["file"], expected)
    sizes = ast.literal_eval(entry.get("sizes", "[]"))
    if count and sizes:
        turned = ast.literal_eval(entry["rotation"]) & {90, -90}
        assert (size if turned else size[::-1]) in sizes


def test_every_file_is_looked_at():
    assert len(entries()) == 70
    assert {entry["file"] for entry in entries()} >= DEVIATIONS.keys()


def test_the_file_that_aborts_opencv():
    path = ODD / "raw_bgr24_48x48.avi"
    assert decoded(path) == (51, (48, 48), False)
    assert struct.unpack_from("<I", path.read_bytes(), 48)[0] in (51, 0), "as its header says"


@pytest.mark.slow
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["file"])
def test_windows_are_those_of_a_full_decode(entry):
    path, count = ODD / entry["file"], int(entry.get("frames_decoded", 0))
    if entry["ends_in_error"] or count < 40 or entry["file"].startswith("pillow"):
        return
    # Not to the end, where some break off.
    whole = [picture_HWC for picture_HWC, _ in frames(path, size=32, stop=count)]
    for start in (33, count // 2, count - 2):
        part = [
            picture_HWC for picture_HWC, _ in frames(path, size=32, start=start, stop=start + 2)
        ]
        np.testing.assert_array_equal(part, whole[start : start + 2])
