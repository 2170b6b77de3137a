"""The command line, as a user types it: the main job end to end, and one line for bad input."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framecast.benchmark import planned
from framecast.benchmark.rows import COLUMNS
from framecast.checkpoint.lock import locked
from framecast.cli import app, main
from framecast.clip import Clip
from framecast.video.write import write
from tests.train.short_runs import ended, forked

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Type a command in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["framecast", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return typed


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty frames of a bright square that moves right and starts anew."""
    frames = np.zeros((60, 32, 32), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:18, t % 24 : t % 24 + 8] = 255
    path = tmp_path_factory.mktemp("clips") / "square.npy"
    np.save(path, frames)
    return path


TINY = (
    "--past 4 --future 4 --steps 4 --set model.hidden=4 --set model.kernel=3 --set train.batch=2"
    " --set train.validation_windows=2 --set train.validations=1"
).split()


@pytest.fixture(scope="module")
def trained(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained from the command line."""
    folder = tmp_path_factory.mktemp("runs") / "square"
    app(["train", str(clip), "--out", str(folder), *TINY], standalone_mode=False)
    return folder


def test_a_mixed_folder_is_told_and_trained_on(run: Run, clip: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    frames_THWC = np.repeat(np.load(clip)[..., None], 3, axis=3)
    clips = {"a.avi": frames_THWC, "b": frames_THWC[..., :1], "c.gif": frames_THWC}
    for name, frames in clips.items():
        write(Clip(frames), mixed / name)
    (mixed / "notes.txt").write_text("filmed in May")
    code, out, err = run("train", mixed, "--out", "mixed_run", "--size", 24, *TINY)
    assert (code, err) == (0, "")
    for words in ("windows of 4 + 4 frames, 24×24 pixels in colour", "1 grey clip of 3 read as",
                  "skipped 1:", "notes.txt is text", "of memory, ", " per epoch of "):  # fmt: skip
        assert words in out


def test_train_evaluate_forecast_check(run: Run, clip: Path, trained: Path, tmp_path: Path) -> None:
    code, _, err = run("evaluate", trained, clip, "--json", "s.json", "--plots", "pictures")
    assert (code, err) == (0, "")
    scores = json.loads(Path("s.json").read_text())
    assert set(scores["baselines"]) == {"persistence", "mean_frame", "advection"}
    assert len(scores["scores"]["mse"]["per_lead"]) == 4
    assert list(Path("pictures").glob("*.png"))
    for name in ("f.gif", "f.mp4", "f.npy", "f.png"):
        code, out, err = run("forecast", trained, clip, "--horizon", 6, "-o", name)
        assert (code, err) == (0, "")
        assert Path(name).stat().st_size > 0
        assert "repeating the last frame" in out
    assert np.load("f.npy").shape[:3] == (6, 32, 32)
    code, out, _ = run("check", trained)
    assert code == 0, out
    code, _, err = run("check", trained, "--set", "model.hidden=4")
    assert code == 2
    assert "--set model.hidden is for new weights" in err
    np.save("short.npy", np.load(clip)[:40])  # three parts of 4 + 4 frames, not of 10 + 10
    code, out, err = run("check", trained, "--data", "short.npy")
    assert (code, err) == (1, "")
    assert "frames are equal to one of train" in " ".join(out.split())
    assert "too few" in run("check", "persistence", "--data", "short.npy")[2]


def test_a_baseline_needs_no_training(run: Run, clip: Path) -> None:
    code, _, _ = run("forecast", "persistence", clip, "-o", "f.npy", "--horizon", 3)
    assert code == 0
    last = np.load(clip)[-1]
    assert all(np.array_equal(frame.squeeze(), last) for frame in np.load("f.npy"))


def test_check_finds_the_look_ahead_of_the_tutorial(run: Run) -> None:
    tiny = ("--set", "model.filters=4,4,4")
    code, out, _ = run("check", "keras_conv_lstm", *tiny, "--set", "model.head=tutorial")
    assert code == 1
    assert "output 1 changes when input frame 2 changes" in " ".join(out.split())
    assert run("check", "keras_conv_lstm", *tiny)[0] == 0


def test_data_list_and_show(run: Run) -> None:
    code, out, _ = run("data", "list")
    assert code == 0
    assert "moving_digits" in out
    code, out, _ = run("data", "show", "moving_digits", "-o", "grid.png")
    assert code == 0
    assert Path("grid.png").stat().st_size > 0
    assert Path("grid.gif").stat().st_size > 0


def test_keras_files_go_out_and_come_back(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from framecast.checkpoint import save
    from framecast.models import build_model

    save(build_model("keras_conv_lstm", {"filters": (2, 2, 2)}), "weights")
    assert run("export-keras", "weights", "net.keras")[0] == 0
    assert run("import-keras", "net.keras", "back")[0] == 0
    assert json.loads(Path("back/config.json").read_text())["model"]["filters"] == [2, 2, 2]
    before = Path("back/model.safetensors").read_bytes()
    for words in (("import-keras", "net.keras"), ("import-torch", "weights.pt")):
        assert "back holds a run already" in run(*words, "back")[2]
    assert Path("back/model.safetensors").read_bytes() == before


def test_each_command_has_an_example(run: Run) -> None:
    names = "train forecast evaluate check demo models cite import-keras export-keras"
    for command in names.split():
        code, out, _ = run(command, "--help")
        assert code == 0
        assert f"Example: framecast {command}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("forecast persistence missing.mp4", "missing.mp4"),
        ("forecast persistence text.mp4", "text.mp4"),
        ("check nowhere", "nowhere is neither a run folder nor a model"),
        ("forecast nowhere short.npy", "nowhere is neither a run folder nor a model"),
        ("forecast persistance short.npy", "persistance is neither a run folder nor a model"),
        ("forecast persistence short.npy --horizon 0", "0"),
        ("forecast persistence short.npy --horizon -1", "-1"),
        ("forecast persistence nan.npy", "nan.npy"),
        ("forecast persistence long.npy -o f.xyz", "f.xyz"),
        ("forecast TRAINED short.npy", "short.npy has 3 frames"),
        ("forecast TRAINED long.npy --tile 5", "--tile is 5: give at least 64 pixels"),
        ("train . --set data.fit=stretch", "data.fit is 'stretch'"),
        ("forecast TRAINED two.npy", "two.npy"),
        ("forecast conv_lstm short.npy", "conv_lstm has to be trained first"),
        ("train short.npy", "short.npy"),
        ("train nan.npy", "nan.npy"),
        ("train missing", "missing"),
        ("train moving_digits --model convlstm", "did you mean conv_lstm"),
        ("train moving_digits --recipe nothing", "nothing is not a recipe"),
        ("train moving_digits --recipe bad.toml", "did you mean learning_rate"),
        ("train moving_digits --set train.batch=0", "train.batch is '0'"),
        ("train moving_digits --set nonsense", "--set nonsense is not a setting"),
        ("train moving_digits --epochs 1 --steps 2", "give one of epochs, steps"),
        ("train moving_digits --axes TNHW", "data.axes is not a setting"),
        ("train moving_digits --root missing", "missing"),
        ("train moving_digits --past 0", "data.past is 0"),
        ("train moving_digits --size big", "--size big is not a size"),
        ("train moving_digits --out text.mp4/run --steps 1", "text.mp4"),
        ("train moving_digits --no-such-flag", "--no-such-flag"),
        ("evaluate persistence moving_digits --split tset", "tset is not a split"),
        ("evaluate persistence moving_digits --metrics csi", "csi needs a threshold"),
        ("evaluate BROKEN moving_digits", "is damaged"),
        ("check keras_conv_lstm --set model.head=future", "model.head is 'future'"),
        ("data show moving_digits --split test --index 1000", "give 0 to 999"),
        ("data show moving_digit", "did you mean moving_digits"),
        ("data get mnits", "mnits"),
        ("import-keras text.mp4 out", "text.mp4"),
        ("nonsense", "nonsense"),
        ("forecast persistence long.npy --every 0", "every is 0"),
        ("explain TRAINED long.npy --every 0", "every is 0"),
        ("check persistence --set train.batch=2", "--set train.batch does nothing here"),
        ("data show moving_digits --set model.patch=2", "--set model.patch does nothing here"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line_and_exit_2(
    run: Run, trained: Path, tmp_path: Path, words: str, says: str
) -> None:
    Path("text.mp4").write_text("this is no video")
    Path("bad.toml").write_text("[train]\nlearning_rat = 1\n")
    np.save("short.npy", np.zeros((3, 32, 32), np.uint8))
    np.save("long.npy", np.zeros((30, 32, 32), np.uint8))
    np.save("two.npy", np.zeros((30, 32, 32, 2), np.uint8))
    np.save("nan.npy", np.full((30, 32, 32), np.nan, np.float32))
    Path("broken").mkdir()
    Path("broken/config.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    places = {"TRAINED": str(trained), "BROKEN": "broken"}
    code, out, err = run(*(places.get(word, word) for word in words.split()))
    assert code == 2, out + err
    assert err.startswith("framecast: ")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(tmp_path.rglob("*")) == before, "something was half-written"


def test_two_channels_are_forecast_without_training(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save("two.npy", np.zeros((30, 16, 8, 2), np.uint8))
    code, _, err = run("forecast", "persistence", "two.npy", "--horizon", 2)
    assert (code, err) == (0, "")
    assert np.load("two_forecast.npy").shape == (2, 16, 8, 2)
    # It is told before the work.
    monkeypatch.setattr(sys.modules["framecast.forecast"], "forecast", None)
    for out, says in (("a.xyz", "a suffix that cannot be written"), ("a.gif", "show 2 channels")):
        code, _, err = run("forecast", "persistence", "two.npy", "--out", out)
        assert (code, says in err) == (2, True)


def test_two_channels_are_shown_by_their_mean(run: Run) -> None:
    np.save("two.npy", np.zeros((30, 16, 8, 2), np.uint8))
    code, out, err = run("data", "show", "two.npy", "--past", 2, "--future", 2, "--out", "g.png")
    assert (code, err, out) == (0, "", "g.png\ng.gif\n")


def test_a_benchmark_of_one_sequence_has_no_interval(run: Run) -> None:
    name = 'name = "persistence"'
    Path("one.toml").write_text(f"[model]\n{name}\n[benchmark]\nwindows = 1\n")
    code, out, err = run("benchmark", "one.toml", "--out", "bench", "--results", "results")
    assert (code, err) == (0, "")
    assert "MSE" in out
    assert "–" not in out


def test_a_benchmark_leaves_what_another_process_is_at_to_the_end(run: Run) -> None:
    Path("two.toml").write_text('[model]\nname = "persistence"\n[benchmark]\nwindows = 2\n')
    words = ("benchmark", "two.toml", "--out", "bench", "--results", "results")
    first, *others = planned(["two.toml"], out="bench")
    ready = Path("ready")

    def work() -> None:
        with locked(first.run):
            ready.touch()
            time.sleep(60)

    child = forked(work)
    while not ready.exists():
        time.sleep(0.01)
    code, out, err = run(*words)
    assert code == 2
    assert f"{first.run}: is in use by process {child}" in out
    assert [f"{other.run}: MSE" in out for other in others] == [True] * len(others)
    assert f"{first.run} is in use by process {child}" in err
    os.kill(child, signal.SIGKILL)
    ended(child)
    code, out, err = run(*words)
    assert (code, err, f"{first.run}: MSE" in out) == (0, "", True)


@pytest.mark.parametrize(
    "words", [("forecast", "persistence"), ("explain", "persistence"), ("data", "show")]
)
def test_what_is_read_is_not_written_over(run: Run, clip: Path, words: tuple[str, ...]) -> None:
    film = write(Clip(np.load(clip)[..., None]), "film.gif")
    before = film.read_bytes()
    for out in ("film.gif", Path("film.gif").resolve(), "film.png"):
        if out == "film.png" and words[0] != "data":
            continue
        code, _, err = run(*words, film, "--out", out)
        assert (code, "is what is read here, and would be lost" in err) == (2, True)
    assert film.read_bytes() == before


def test_a_report_is_not_written_over_its_table_and_is_a_page(run: Run) -> None:
    Path("table.csv").write_text(",".join(COLUMNS) + "\n" + "1" + "," * (len(COLUMNS) - 1) + "\n")
    assert "is what is read here" in run("report", "table.csv", "--out", "table.csv")[2]
    assert "is no name for a page" in run("report", "table.csv", "--out", "table.md")[2]


def test_names_with_brackets_are_told_as_they_are(run: Run, clip: Path) -> None:
    film, out = Path("my [red] :car: film.npy"), Path("a[")
    np.save(film, np.tile(np.load(clip), (2, 1, 1)))  # enough frames to be trained on
    out.mkdir()
    code, said, err = run("forecast", "persistence", film, "--horizon", 2, "--out", out / "b].gif")
    assert (code, err) == (0, "")
    assert f"{out}/b].gif: 2 frames after the 120 of {film}" in said
    assert f"framecast train '{film}'" in said
    (out / "b]").mkdir()
    code, said, err = run("data", "show", film, "--past", 2, "--out", out / "b]" / "[c.png")
    assert (code, err) == (0, "")
    assert f"{out}/b]/[c.png" in said
