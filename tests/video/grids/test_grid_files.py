"""HDF5, NetCDF and Zarr files as clips: the variable, its axes, values, times and place."""

import json

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.grids import is_grid, read, read_last, read_variable
from framecast.video.read import read as read_clip
from framecast.video.selection import Selection

h5py = pytest.importorskip("h5py")
netCDF4 = pytest.importorskip("netCDF4")
zarr = pytest.importorskip("zarr")

RAIN_THW = np.random.default_rng(0).random((6, 4, 5)).astype(np.float32) * 20
KINDS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "zarr2", "zarr3"]


def netcdf(path, hours=range(6), kind="NETCDF4", **attributes):
    """Rain as packed shorts over an hour each, with coordinates."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for name, length in (("time", len(hours)), ("y", 4), ("x", 5)):
            file.createDimension(name, length)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = hours if name == "time" else 1000.0 * np.arange(length)
            axis.units = "hours since 2024-01-31 06:00" if name == "time" else "m"
        rain = file.createVariable("rain", "i2", ("time", "y", "x"), fill_value=-1)
        rain.set_auto_maskandscale(False)
        rain.units, rain.scale_factor, rain.add_offset = "mm/h", 0.01, 2.0
        rain.setncatts(attributes)
        rain[:] = packed(len(hours))
    return path


def packed(count=6):
    packed_THW = np.rint((RAIN_THW[:count] - 2) * 100).astype(np.int16)
    packed_THW[:, 0, 0] = -1
    return packed_THW


def zarr_store(path, version):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, values, attributes in (
        ("time", np.arange(6), {"units": "hours since 2024-01-31 06:00"}),
        ("y", 1000.0 * np.arange(4), {"units": "m"}),
        ("x", 1000.0 * np.arange(5), {"units": "m"}),
        ("rain", packed(), {"units": "mm/h", "scale_factor": 0.01, "add_offset": 2.0}),
    ):
        dims = ("time", "y", "x") if values.ndim == 3 else (name,)
        named = {"dimension_names": dims} if version == 3 else {}
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, **named)
        array[:] = values
        array.attrs.update(attributes | ({} if named else {"_ARRAY_DIMENSIONS": dims}))
    group["rain"].attrs["_FillValue"] = -1
    return path


def made(folder, kind):
    if kind.startswith("zarr"):
        return zarr_store(folder / "rain.zarr", int(kind[-1]))
    return netcdf(folder / "rain.nc", kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_values_unit_time_and_place(tmp_path, kind):
    path = made(tmp_path, kind)
    assert is_grid(path)
    clip = read_clip(path)
    expected = RAIN_THW[..., None].copy()
    expected[:, 0, 0] = np.nan
    np.testing.assert_allclose(clip.frames_THWC, expected, atol=0.0051)
    assert clip.frames_THWC.dtype == np.float32
    assert (clip.unit, clip.seconds_per_frame, clip.source) == ("mm/h", 3600, str(path))
    assert clip.value_range == (np.nanmin(clip.frames_THWC), np.nanmax(clip.frames_THWC))
    assert clip.grid.start == np.datetime64("2024-01-31T06:00")
    assert clip.grid.rows.values.tolist() == [0, 1000, 2000, 3000]
    assert (clip.grid.columns.name, clip.grid.columns.unit) == ("x", "m")
    assert clip.cut(2).grid.start == np.datetime64("2024-01-31T08:00")
    assert clip.cut(-1).grid.start == np.datetime64("2024-01-31T11:00")


@pytest.mark.parametrize("kind", ["NETCDF4", "zarr3"])
def test_selection(tmp_path, kind):
    path = made(tmp_path, kind)
    whole = read_clip(path).frames_THWC
    part = read_clip(path, start=1, stop=6, every=2)
    np.testing.assert_array_equal(part.frames_THWC, whole[1:6:2])
    assert (part.seconds_per_frame, part.grid.start) == (7200, np.datetime64("2024-01-31T07:00"))
    small = read_clip(path, size=(2, 5))
    np.testing.assert_allclose(small.frames_THWC[:, 1], whole[:, 2:].mean(axis=1), rtol=1e-5)
    assert small.grid.rows.values.tolist() == [500, 2500]
    with pytest.raises(InputError, match="has no frame number 6"):
        read_clip(path, start=6)


@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({"missing_value": np.array([7, 8], np.int16)}, [7, 8]),
        ({"valid_min": np.int16(0), "valid_max": np.int16(300)}, [-5, 301]),
        ({"valid_range": np.array([0, 300], np.int16)}, [-5, 301]),
        ({}, []),
    ],
)
def test_what_marks_a_missing_value(tmp_path, attributes, missing):
    path = netcdf(tmp_path / "a.nc", **attributes)
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        file["rain"][:] = 100
        file["rain"][0, 0] = [*missing, 0, 300, -1, 100][:5] if missing else [7, 8, 0, 300, -1]
    row = read_clip(path).frames_THWC[0, 0, :, 0]
    gone = [*missing, 0, 300, -1][: len(row)] if missing else [7, 8, 0, 300, -1]
    assert np.isnan(row).tolist() == [value in (*missing, -1) for value in gone]
    assert row[~np.isnan(row)][-1] == pytest.approx(300 * 0.01 + 2)


def test_unsigned_bytes_and_unwritten_floats(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
        for name, length in (("t", 2), ("b", 1), ("c", 2)):
            file.createDimension(name, length)
        file.createVariable("level", "i1", ("t", "b", "c")).setncatts({"_Unsigned": "true"})
        file["level"][:] = np.array([-56, 100], np.int8)
    assert read_clip(tmp_path / "a.nc").frames_THWC[0, 0, :, 0].tolist() == [200, 100]
    with netCDF4.Dataset(tmp_path / "b.nc", "w") as file:
        for name, length in (("t", 2), ("b", 3), ("c", 2)):
            file.createDimension(name, length)
        file.createVariable("level", "f4", ("t", "b", "c"))[0] = 1
    assert np.isnan(read_clip(tmp_path / "b.nc").frames_THWC[1]).all()


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def test_axes_without_names_and_bytes_without_a_meaning(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
    clip = read_clip(hdf5(tmp_path / "a.h5", frames=pictures))
    np.testing.assert_array_equal(clip.frames_THWC, pictures)
    assert (clip.frames_THWC.dtype, clip.seconds_per_frame) == (np.uint8, 0.1)
    wind = rng.random((5, 2, 8, 9))
    clip = read_clip(hdf5(tmp_path / "b.h5", wind=wind))
    np.testing.assert_allclose(clip.frames_THWC, wind.transpose(0, 2, 3, 1), rtol=1e-6)


def test_names_of_axes_win_over_their_order(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, length in (("lon", 5), ("lat", 4), ("time", 6)):
            file.createDimension(name, length)
        file.createVariable("t2m", "f4", ("lon", "lat", "time"))[:] = RAIN_THW.transpose(2, 1, 0)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.nc").frames_THWC[..., 0], RAIN_THW)


def test_several_variables_need_a_name(tmp_path):
    path = hdf5(tmp_path / "a.h5", wind=RAIN_THW, **{"deep/rain": RAIN_THW + 1}, note=np.ones(3))
    with pytest.raises(InputError) as caught:
        read_clip(path)
    assert str(caught.value).startswith(f"{path} holds several grids: name one of deep/rain, wind:")
    for name in ("rain", "deep/rain", "RAIN"):
        np.testing.assert_array_equal(read_variable(path, name).frames_THWC[..., 0], RAIN_THW + 1)
    with pytest.raises(InputError, match="has no grid 'snow': name one of deep/rain, wind"):
        read_variable(path, "snow")
    with pytest.raises(InputError, match="holds no grid of 2 to 4 axes"):
        read_clip(hdf5(tmp_path / "b.h5", note=np.ones(3)))
    with pytest.raises(InputError, match="is no grid with a variable 'rain'"):
        read_variable(tmp_path / "a.mp4", "rain")


@pytest.mark.parametrize(
    ("hours", "lengths"),
    [
        ([0, 1, 2, 3, 4, 5], [6]),
        ([0, 1, 2, 4, 5, 6], [3, 3]),
        ([0, 1, 1, 2, 3, 4], [2, 4]),
        ([3, 4, 5, 0, 1, 2], [3, 3]),
        ([0, 1, 2, 9, 20, 21], [3, 1, 2]),
    ],
)
def test_a_series_is_split_at_every_gap(tmp_path, hours, lengths):
    path = netcdf(tmp_path / "a.nc", hours)
    clips = read(path, Selection())
    assert [len(clip) for clip in clips] == lengths
    assert {clip.seconds_per_frame for clip in clips} == {3600}
    assert len({clip.value_range for clip in clips}) == 1
    starts = np.datetime64("2024-01-31T06:00") + np.array(hours) * np.timedelta64(1, "h")
    firsts = np.cumsum([0, *lengths[:-1]])
    assert [clip.grid.start for clip in clips] == starts[firsts].tolist()
    if len(lengths) == 1:
        assert len(read_last(path, Selection())) == 6
    else:
        with pytest.warns(UserWarning, match=rf"{sum(lengths[:-1])} frames before the last one"):
            assert len(read_last(path, Selection())) == lengths[-1]


def test_months_are_a_regular_step_and_other_calendars_have_no_date(tmp_path):
    days = np.cumsum([0, 31, 29, 31, 30, 31])
    path = netcdf(tmp_path / "a.nc", 24 * days)
    assert len(read(path, Selection())) == 1
    with netCDF4.Dataset(path, "a") as file:
        file["time"].calendar, file["time"].units = "360_day", "hours since 2024-01-30"
    (clip,) = read(path, Selection())
    assert clip.grid.start is None
    assert clip.seconds_per_frame == pytest.approx(31 * 86400, rel=0.1)


def test_strange_units_of_time_are_refused(tmp_path):
    path = netcdf(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "moons since yesterday"
    with pytest.raises(InputError, match="cannot be read as a grid"):
        read_clip(path)


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    paths = [made(tmp_path, kind) for kind in ("NETCDF4", "zarr3")]
    classic = netcdf(tmp_path / "old.nc", kind="NETCDF3_CLASSIC")
    for name, path in zip(("h5py", "zarr", "netCDF4"), (*paths, classic), strict=True):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(InputError, match=rf"needs {name} .*pip install 'framecast\[grids\]'"):
            read_clip(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_torn_file_is_refused(tmp_path, kind):
    path = made(tmp_path, kind)
    if path.is_dir():
        meta = next(p for p in (path / "zarr.json", path / "rain" / ".zarray") if p.exists())
        meta.write_text(json.dumps({"zarr_format": 3, "node_type": "array", "shape": [1]}))
        with pytest.raises(InputError, match="cannot be read as a grid"):
            read_clip(path)
        return  # a store of many files has no other end
    if "NETCDF3" in kind:  # long enough to be torn in its values, which it does not notice itself
        with netCDF4.Dataset(path, "w", format=kind) as file:
            for name, length in (("t", 60), ("y", 4), ("x", 5)):
                file.createDimension(name, length)
            file.createVariable("rain", "f4", ("t", "y", "x"))[:] = 1
    whole = path.read_bytes()
    for size in (16, len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cannot be read|breaks off|holds no grid"):
            read_clip(path)
