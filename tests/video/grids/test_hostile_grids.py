"""Grid files that would read other files, run code or take all memory are refused."""

import json
import os
import tracemalloc

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.grids import series, zarr_store
from framecast.video.read import read

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")

SECRET = np.full((4, 5, 6), 42.0)


@pytest.fixture
def secret(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["rain"] = SECRET
    np.save(tmp_path / "secret.bin", SECRET)
    return tmp_path


def test_links_to_other_files_are_not_followed(secret):
    with h5py.File(secret / "a.h5", "w") as file:
        file["rain"] = h5py.ExternalLink(str(secret / "secret.h5"), "/rain")
    with pytest.raises(InputError, match="holds no grid"):
        read(secret / "a.h5")
    with h5py.File(secret / "b.h5", "w") as file:
        file["image1/image_data"] = SECRET
        file["image1/calibration"] = h5py.ExternalLink(str(secret / "secret.h5"), "/")
    with h5py.File(secret / "secret.h5", "a") as file:
        file.attrs["calibration_formulas"] = "GEO=2.0*PV"
    assert read(secret / "b.h5").frames_THWC.max() == 42
    with h5py.File(secret / "a.h5") as file:  # h5py itself would have
        assert file["rain"][0, 0, 0] == 42


def test_virtual_and_external_storage_are_refused(secret):
    layout = h5py.VirtualLayout(shape=SECRET.shape, dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "rain", shape=SECRET.shape)
    with h5py.File(secret / "a.h5", "w") as file:
        file.create_virtual_dataset("rain", layout)
    with h5py.File(secret / "b.h5", "w") as file:
        there = [(str(secret / "secret.bin"), 0, SECRET.nbytes)]
        file.create_dataset("rain", SECRET.shape, "f8", external=there)
    for name in ("a.h5", "b.h5"):
        with pytest.raises(InputError, match="takes /rain from other files"):
            read(secret / name)


def test_filters_of_plugins_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("rain", data=np.ones((4, 5, 6)), compression="lzf")
    content = bytearray(path.read_bytes())
    at = content.index(b"lzf") - 8
    assert int.from_bytes(content[at : at + 2], "little") == 32000
    content[at : at + 2] = (32001).to_bytes(2, "little")  # Blosc, a plugin
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"packs /rain by a plugin \(filter 32001\)"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "chunks", "what"),
    [
        ((10, 2**14, 2**14), (1, 64, 64), "has frames of 268435456 values"),
        ((10, 2**13, 2**13), (8, 2**13, 2**13), "unpacks into pieces of 2048 MB"),
        ((2000, 2**10, 2**10), (1, 64, 64), "has 2000 frames of 4.0 MB"),
        ((10**5, 2**10, 2**10), (1, 2**10, 2**10), "takes 1e\\+11 values from rain"),
        ((2 * 10**6, 4, 4), (1, 4, 4), "has 2000000 frames"),
    ],
)
def test_a_few_bytes_that_promise_too_much(tmp_path, shape, chunks, what):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rain", shape, "f4", chunks=chunks, compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 10_000
    tracemalloc.start()
    with pytest.raises(InputError, match=what):
        read(tmp_path / "a.h5")
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_a_store_unpickles_nothing(tmp_path):
    store = tmp_path / "a.zarr"
    array = zarr.create_array(store, shape=(4, 5, 6), dtype="f4", zarr_format=2)
    array[:] = 1
    assert read(store).frames_THWC.mean() == 1
    meta = json.loads((store / ".zarray").read_text())
    for key, codec in (
        ("filters", [{"id": "pickle"}]),
        ("compressor", {"id": "pickle"}),
        ("filters", [{"id": "json2"}]),
    ):
        (store / ".zarray").write_text(json.dumps(meta | {key: codec}))
        with pytest.raises(InputError, match="asks for the codec"):
            read(store)


def test_copies_of_metadata_are_looked_at(tmp_path):
    """zarr prefers them to what they are copies of."""
    store = tmp_path / "a.zarr"
    group = zarr.create_group(store, zarr_format=2)
    group.create_array("rain", shape=(4, 5, 6), dtype="f4")[:] = 1
    zarr.consolidate_metadata(str(store))
    assert read(store).frames_THWC.mean() == 1
    copies = json.loads((store / ".zmetadata").read_text())
    copies["metadata"]["rain/.zarray"]["filters"] = [{"id": "pickle"}]
    (store / ".zmetadata").write_text(json.dumps(copies))
    with pytest.raises(InputError, match=r"\.zmetadata asks for the codec 'pickle'"):
        read(store)


def test_codecs_inside_shards_are_looked_at(tmp_path):
    store = tmp_path / "a.zarr"
    zarr.create_array(store, shape=(4, 4, 4), dtype="f4", chunks=(2, 2, 2), shards=(4, 4, 4))[:] = 1
    assert read(store).frames_THWC.mean() == 1
    text = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(text.replace('"zstd"', '"numcodecs.pickle"'))
    with pytest.raises(InputError, match=r"asks for the codec 'numcodecs\.pickle'"):
        read(store)


@pytest.mark.parametrize("link", ["chunk", "folder", "pipe"])
def test_links_and_devices_in_a_store_are_refused(tmp_path, link):
    store = tmp_path / "a.zarr"
    zarr.create_array(store, shape=(4, 5, 6), dtype="f4")[:] = 1
    (chunk,) = [path for path in store.rglob("*") if path.is_file() and path.name != "zarr.json"]
    if link == "folder":
        (store / "more").symlink_to(tmp_path)
    else:
        chunk.unlink()
        os.mkfifo(chunk) if link == "pipe" else chunk.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is a link or a device in a Zarr store"):
        read(store)


def test_the_number_of_files_is_bounded(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 5, 6), dtype="f4")[:] = 1
    monkeypatch.setattr(zarr_store, "MOST_FILES", 2)
    with pytest.raises(InputError, match="holds too many files"):
        read(tmp_path / "a.zarr")
    for number in range(5):
        with h5py.File(tmp_path / f"20240101000{number}.h5", "w") as file:
            file["rain"] = np.ones((3, 3))
    monkeypatch.setattr(series, "MOST_FILES", 2)
    with pytest.raises(InputError, match="holds 6 files"):
        read(tmp_path)
