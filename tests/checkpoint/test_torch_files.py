"""Files of torch.save: read in a child that runs nothing and may fall; the parent survives."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch._utils import _rebuild_tensor_v2

from framecast.checkpoint import load, save
from framecast.checkpoint.torch_files import import_torch
from framecast.cli import app
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task

SETTINGS = {"hidden": (3,), "patch": 2, "motion": 0}
TASK = Task(channels=1, height=8, width=8, past=2, future=2)


def sound():
    return build_model("conv_lstm", SETTINGS, TASK)


class Acts:
    """An object whose unpickling calls something."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def raw(path, mark):
    path.write_bytes(pickle.dumps(Acts(os.system, f"touch {mark}")))


def legacy(path, mark):
    saved(path, {"w": Acts(os.system, f"touch {mark}")}, zipped=False)


def shell(path, mark):
    saved(path, {"w": Acts(os.system, f"touch {mark}")})


def evaluates(path, mark):
    saved(path, {"w": Acts(eval, f"open({str(mark)!r}, 'w')")})


def starts(path, mark):
    saved(path, {"w": Acts(subprocess.Popen, ["touch", str(mark)])})


def writes(path, mark):
    saved(path, {"w": Acts(open, str(mark), "w")})


def packed_again(path, kind=zipfile.ZIP_DEFLATED):
    """The zip of torch.save, compressed."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def bomb(path, mark):
    """255 KB that become 256 MB."""
    saved(path, {"w": torch.zeros(64 << 20)})
    packed_again(path)
    assert path.stat().st_size < 300_000


def large_bomb(path, mark):
    """1 MB that become 1 GB."""
    saved(path, {"w": torch.zeros(256 << 20)})
    packed_again(path)


def expanded(path, mark):
    """One number that is seen as a trillion."""
    saved(path, {"w": torch.zeros(1).expand(10**6, 10**6)})


class BeyondTheEnd:
    """A view of memory that is not there."""

    def __reduce__(self):
        storage = torch.zeros(4).untyped_storage()
        typed = torch.storage.TypedStorage(
            wrap_storage=storage, dtype=torch.float32, _internal=True
        )
        return _rebuild_tensor_v2, (typed, 0, (10**6,), (1,), False, OrderedDict())


def beyond(path, mark):
    saved(path, {"w": BeyondTheEnd()})


def sparse(path, mark):
    """Indices far beyond the shape, which has ended processes."""
    index, values = torch.tensor([[2**40]]), torch.ones(1)
    unchecked = torch.sparse_coo_tensor(index, values, (2**41,), check_invariants=False)
    saved(path, {"w": unchecked})


def quantised(path, mark):
    saved(path, {"w": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)})


def compiled(path, mark):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


def laughs(path, mark):
    """Lists of lists, ten each, thirty deep."""
    inner = [1]
    for _ in range(30):
        inner = [inner] * 10
    saved(path, {"w": inner})


def deep(path, mark):
    path.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


def spins(path, mark):
    """Asks for a tuple of ten million parts, over and over."""
    path.write_bytes(b"\x80\x02" + b"(" + b"N" * 10_000_000 + b"t.")


HOSTILE = {
    "shell": shell,
    "bomb": bomb,
    "sparse": sparse,
    "raw": raw,
    "legacy": legacy,
    "evaluates": evaluates,
    "starts": starts,
    "writes": writes,
    "large bomb": large_bomb,
    "expanded": expanded,
    "beyond": beyond,
    "quantised": quantised,
    "script": compiled,
    "laughs": laughs,
    "deep": deep,
    "spins": spins,
    "a model": lambda path, mark: saved(path, torch.nn.Linear(2, 2)),
    "no dict": lambda path, mark: saved(path, torch.ones(3)),
    "empty": lambda path, mark: path.write_bytes(b""),
    "text": lambda path, mark: path.write_text("text" * 1000),
    "noise": lambda path, mark: path.write_bytes(os.urandom(5000)),
    "zip": lambda path, mark: zipfile.ZipFile(path, "w").close(),
    "pipe": lambda path, mark: os.mkfifo(path),
    "folder": lambda path, mark: path.mkdir(),
}
SOON = ["shell", "sparse"]


def refused(path):
    try:
        import_torch(path, "conv_lstm", SETTINGS, TASK)
    except InputError as error:
        return "\n" not in str(error) and str(path) in str(error)
    return False


def runs(path, mark):
    """Whether unpickling as usual acts, or takes a hundred times the size of the file."""
    peak = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    code = f"import torch\nbefore = {peak}\n"
    code += f"try: torch.load({str(path)!r}, weights_only=False)\nexcept Exception: pass\n"
    code += f"print({peak} - before)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return mark.exists() or said.returncode < 0 or int(said.stdout) > 200_000


def try_all(names, folder, promise):
    wrong, caught = [], 0
    acting = {"shell", "bomb", "raw", "legacy", "evaluates", "starts", "writes"} & {*names}
    for name in names:
        path, mark = folder / f"{name}.pt", folder / f"{name}.mark"
        HOSTILE[name](path, mark)
        if not refused(path) or mark.exists():
            wrong.append(name)
        if name in acting:
            caught += runs(path, mark)
    assert wrong == []
    control = ("torch.load on files that act or swell", caught, len(acting))
    promise("B1", trials=len(names), failures=len(wrong), control=control)


def test_some_hostile_pickles_run_nothing(tmp_path, promise):
    try_all(SOON, tmp_path, promise)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_all_hostile_pickles_run_nothing(tmp_path, promise):
    try_all([*HOSTILE], tmp_path, promise)


def test_weights_are_imported_with_their_config_beside_them(tmp_path, capsys):
    model = sound()
    save(model, tmp_path)
    state = {f"module.{key}": value.half() for key, value in model.state_dict().items()}
    saved(tmp_path / "w.ckpt", {"state_dict": state | {"metric.sum": torch.ones(1)}, "epoch": 3})
    app(["import-torch", f"{tmp_path}/w.ckpt", f"{tmp_path}/out"], standalone_mode=False)
    found = load(tmp_path / "out")
    assert (found.config, found.task) == (model.config, model.task)
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value.half().float())
    assert "1 tensors have no use here: metric.sum" in capsys.readouterr().out


def test_what_does_not_fit_is_told_in_one_line(tmp_path):
    saved(tmp_path / "w.pt", sound().state_dict())
    with pytest.raises(InputError, match=r"does not fit .*5 missing: layers\.1.*of another shape"):
        import_torch(tmp_path / "w.pt", "conv_lstm", {"hidden": (5, 4)}, TASK)


def test_what_torch_advises_of_foreign_code_is_not_passed_on(tmp_path):
    (tmp_path / "notes.pt").write_text("framecast " * 50)
    with pytest.raises(InputError, match="is no file of torch") as caught:
        import_torch(tmp_path / "notes.pt", "conv_lstm", SETTINGS, TASK)
    assert "weights_only" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        import_torch(tmp_path / "none.pt", "conv_lstm", SETTINGS, TASK)


def test_views_and_tied_weights_are_imported(tmp_path):
    model = sound()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    content = io.BytesIO()
    torch.save({key: torch.stack([value, value])[1] for key, value in state.items()}, content)
    Path(tmp_path / "w.pt").write_bytes(content.getvalue())
    found, _ = import_torch(tmp_path / "w.pt", "conv_lstm", SETTINGS, TASK)
    assert all(torch.equal(found.state_dict()[key], value) for key, value in state.items())
