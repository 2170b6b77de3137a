"""Clips as NetCDF and Zarr: values, unit, times and places come back."""

import numpy as np
import pytest

from framecast.cli.forecast import forecast as forecast_command
from framecast.clip import Axis, Clip, Grid
from framecast.errors import InputError
from framecast.forecast import forecast
from framecast.models import build_model
from framecast.video.read import read
from framecast.video.write import write

netCDF4 = pytest.importorskip("netCDF4")
zarr = pytest.importorskip("zarr")
START = np.datetime64("2024-01-31T06:00")
both = pytest.mark.parametrize("suffix", [".nc", ".zarr"])


def rain(channels=1, **grid):
    frames_THWC = np.random.default_rng(0).random((12, 4, 5, channels), np.float32) * 30
    frames_THWC[:, 0, 0] = np.nan
    rows = Axis("lat", np.array([50.5, 50, 49.5, 49]), "degrees_north")
    columns = Axis("lon", np.arange(5.0), "degrees_east")
    where = Grid(**({"name": "rain", "start": START, "rows": rows, "columns": columns} | grid))
    return Clip(frames_THWC, 300.0, (0.0, 30.0), "mm/h", grid=where)


@both
@pytest.mark.parametrize("channels", [1, 2])
def test_everything_comes_back(tmp_path, suffix, channels):
    clip = rain(channels)
    back = read(write(clip, tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(back.frames_THWC, clip.frames_THWC)
    assert (back.unit, back.seconds_per_frame) == ("mm/h", 300)
    assert (back.grid.name, back.grid.start) == ("rain", START)
    assert back.grid.rows.values.tolist() == [50.5, 50, 49.5, 49]
    assert (back.grid.columns.name, back.grid.columns.unit) == ("lon", "degrees_east")


@both
def test_a_forecast_continues_the_time_of_its_source(tmp_path, suffix):
    source = write(rain(), tmp_path / f"past{suffix}")
    future = forecast(build_model("persistence"), read(source), 3)
    back = read(write(future, tmp_path / f"future{suffix}"))
    assert back.grid.start == START + np.timedelta64(12 * 300, "s")
    np.testing.assert_allclose(back.frames_THWC, rain().frames_THWC[[-1] * 3], rtol=1e-5)
    assert back.grid.rows.values.tolist() == [50.5, 50, 49.5, 49]


def test_the_command_line_keeps_values_times_and_places(tmp_path):
    source = write(rain(), tmp_path / "past.nc")
    forecast_command("persistence", source, out=tmp_path / "future.nc", size="2,5", horizon=3)
    back = read(tmp_path / "future.nc")
    assert (len(back), back.unit, back.grid.start) == (3, "mm/h", START + np.timedelta64(3600, "s"))
    assert back.grid.rows.values.tolist() == [50.25, 49.25]
    small = read(source, size=(2, 5)).frames_THWC[-1]
    np.testing.assert_allclose(back.frames_THWC[0], small, rtol=1e-5)


@both
def test_pictures_and_clips_without_a_place(tmp_path, suffix):
    frames_THWC = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    back = read(write(Clip(frames_THWC, 0.04), tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(back.frames_THWC, frames_THWC)
    assert back.frames_THWC.dtype == np.uint8


@both
@pytest.mark.parametrize(("name", "written"), [("time", "frames"), ("a b", "a_b"), ("1", "frames")])
def test_names_that_mean_something_else(tmp_path, suffix, name, written):
    assert read(write(rain(name=name), tmp_path / f"a{suffix}")).grid.name == written


def test_other_programs_find_the_conventions(tmp_path):
    with netCDF4.Dataset(write(rain(), tmp_path / "a.nc")) as file:
        assert file.Conventions == "CF-1.11"
        assert file["rain"].dimensions == ("time", "lat", "lon")
        assert np.isnan(file["rain"]._FillValue)
        dates = netCDF4.num2date(file["time"][:], file["time"].units, file["time"].calendar)
        assert dates[1].isoformat() == "2024-01-31T06:05:00"
        assert file["rain"][:].mask[:, 0, 0].all()
    group = zarr.open_group(write(rain(), tmp_path / "a.zarr"), mode="r")
    assert group["rain"].metadata.dimension_names == ("time", "lat", "lon")
    assert group["rain"].attrs["units"] == "mm/h"


@both
def test_written_whole_or_not_at_all(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    monkeypatch.setattr(
        "framecast.video.grids.write._coordinates", lambda clip: (_ for _ in [1 / 0])
    )
    with pytest.raises(ZeroDivisionError):
        write(rain(), path)
    assert [*tmp_path.iterdir()] == []
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "netCDF4" if suffix == ".nc" else "zarr", None)
    with pytest.raises(InputError, match=r"to be written: pip install 'framecast\[grids\]'"):
        write(rain(), path)
    assert [*tmp_path.iterdir()] == []


def test_a_store_replaces_no_folder_and_a_file_replaces_a_file(tmp_path):
    write(rain(), tmp_path / "a.zarr")
    with pytest.raises(InputError, match="is a folder with files in it"):
        write(rain(), tmp_path / "a.zarr")
    write(rain(), tmp_path / "a.nc")
    write(rain(channels=2), tmp_path / "a.nc")
    assert read(tmp_path / "a.nc").channels == 2
