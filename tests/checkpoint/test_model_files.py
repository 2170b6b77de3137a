"""Model files from strangers: nothing is run, and every limit holds before memory is taken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from framecast.checkpoint import CONFIG, WEIGHTS, load, model_files, save, strict_json, weights_file
from framecast.errors import InputError
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Task
from tests.checkpoint import hostile_models
from tests.checkpoint.hostile_models import TASK, packed, tensor

CHILD = Path(__file__).with_name("audited_child.py")
SECONDS, MEGABYTES = 2, 100


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return hostile_models.sound(tmp_path_factory.mktemp("models") / "base")


def audited(kind, base, folders):
    command = [sys.executable, CHILD, kind, base, *folders]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def hostile(base, tmp_path_factory):
    return [*hostile_models.build(base, tmp_path_factory.mktemp("hostile"))]


@pytest.fixture(scope="module")
def told(base, hostile):
    return audited("sound", base, [str(each.folder) for each in hostile])


def test_a_strangers_file_runs_no_code(hostile, told, base, promise):
    tempting = [str(each.folder) for each in hostile if each.acts]
    careless = audited("naive", base, tempting)
    acted = {folder: found["acts"] for folder, found in told.items() if found["acts"]}
    assert acted == {}
    caught = sum(bool(found["acts"]) for found in careless.values())
    control = ("a reader that unpickles, imports and fetches what is named", caught, len(tempting))
    assert len(told) >= 60
    promise("B1", trials=len(told), failures=len(acted), control=control)


def test_a_strangers_file_is_refused_soon_and_in_little_memory(told, base, hostile, promise):
    wrong = [
        f"{Path(folder).name}: {found}"
        for folder, found in told.items()
        if not found["answer"].startswith("refused")
        or found["seconds"] > SECONDS
        or found["mb"] > MEGABYTES
    ]
    assert wrong == []
    heavy = next(each.folder for each in hostile if "82 MB" in each.folder.name)
    code = f"import safetensors as s\ntry: s.safe_open({str(heavy / WEIGHTS)!r}, 'pt')\n"
    code += "except s.SafetensorError: pass\n"
    code += "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)"
    peak = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    control = ("the library alone, on a header of 82 MB", int(float(peak) > MEGABYTES), 1)
    promise("B2", trials=len(told), failures=len(wrong), control=control)


def test_every_refusal_is_one_short_line(told):
    for found in told.values():
        assert len(found["answer"]) < 600
        assert "\\n" not in found["answer"]


def test_a_sound_model_is_loaded(base):
    assert load(base).config.hidden == (2,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision_are_loaded_into_float32(base, tmp_path, dtype):
    model = load(base)
    save(model, tmp_path)
    state = {key: value.to(dtype) for key, value in model.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / WEIGHTS)
    loaded = load(tmp_path).state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    assert all(torch.equal(loaded[key], state[key].float()) for key in state)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_saved_and_loaded(name, tmp_path):
    model = build_model(name, task=Task(**TASK))
    loaded = load(save(model, tmp_path))
    state = loaded.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert not any(value.is_meta for value in [*loaded.parameters(), *loaded.buffers()])


# Limits: one less, exact, one more.


def write_header(folder, header, length):
    (folder / WEIGHTS).write_bytes(packed(json.dumps(header).encode().ljust(length)))


def header_of(length, folder):
    write_header(folder, {}, length)


def tensors(count, folder):
    write_header(folder, {str(n): tensor([0], [0, 0]) for n in range(count)}, 0)


def content(size, folder):
    entry = {"0": tensor([size // 8], [0, size], "F64")}
    write_header(folder, entry, 0)
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(file.seek(0, 2) + size)


@pytest.mark.parametrize(
    ("make", "limit", "unit"),
    [
        (header_of, weights_file.HEADER, 1),
        (tensors, weights_file.TENSORS, 1),
        (content, weights_file.CONTENT, 8),
    ],
    ids=["header", "tensors", "content"],
)
def test_limits_of_the_weights(make, limit, unit, tmp_path):
    for size, fits in ((limit - unit, True), (limit, True), (limit + unit, False)):
        make(size, tmp_path)
        with (tmp_path / WEIGHTS).open("rb") as file:
            if fits:
                weights_file._read_header(file)
            else:
                with pytest.raises(ValueError, match=r"at most|its header|another form"):
                    weights_file._read_header(file)


def test_limits_of_the_config(base, tmp_path):
    save(load(base), tmp_path)
    text = (tmp_path / CONFIG).read_bytes()
    for size in (model_files.LIMIT - 1, model_files.LIMIT):
        (tmp_path / CONFIG).write_bytes(text.ljust(size))
        load(tmp_path)
    (tmp_path / CONFIG).write_bytes(text.ljust(model_files.LIMIT + 1))
    with pytest.raises(InputError, match="more than 1048576 bytes"):
        load(tmp_path)


def test_limits_of_depth_and_text():
    deep, long = strict_json.DEPTH, strict_json.LETTERS
    for size in (deep - 1, deep):
        strict_json.loads(b"[" * size + b"]" * size)
    with pytest.raises(ValueError, match="deep"):
        strict_json.loads(b"[" * (deep + 1) + b"]" * (deep + 1))
    for size in (long - 1, long):
        strict_json.loads(b'"%s"' % (b"x" * size))
    with pytest.raises(ValueError, match="too long"):
        strict_json.loads(b'"%s"' % (b"x" * (long + 1)))


def bounds(kind):
    """Name, bound, and the first value beyond, of every field that has a range."""
    for name, field in kind.model_fields.items():
        for mark in field.metadata:
            for side, step in (("ge", -1), ("le", 1)):
                if (bound := getattr(mark, side, None)) is not None:
                    yield name, bound, bound + step


@pytest.mark.parametrize("name", MODELS)
def test_limits_of_every_setting(name):
    found = [*bounds(MODELS[name].Config)]
    for field, bound, beyond in found:
        with torch.device("meta"):  # the largest would not fit into memory
            build_model(name, {field: bound})
        with pytest.raises(InputError, match=field):
            build_model(name, {field: beyond})
    learns = [field for field in MODELS[name].Config.model_fields if field == "teacher_forcing"]
    assert len(found) >= 2 * len(learns), "the ranges were not found"


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("conv_lstm", "hidden", [(4096,), (4097,)]),
        ("conv_lstm", "hidden", [(1,), (0,)]),
        ("conv_lstm", "hidden", [(1,) * 64, (1,) * 65]),
        ("conv_lstm", "kernel", [(31,), (33,)]),
        ("conv_lstm", "kernel", [(1,), (-1,)]),
        ("keras_conv_lstm", "filters", [(1024, 1, 1), (1025, 1, 1)]),
        ("keras_conv_lstm", "kernels", [(31, 1, 1), (33, 1, 1)]),
    ],
)
def test_limits_of_every_layer(name, field, values):
    with torch.device("meta"):
        build_model(name, {field: values[0]})
    with pytest.raises(InputError, match=field):
        build_model(name, {field: values[1]})


@pytest.mark.parametrize(
    ("field", "largest"), [("channels", 4096), ("height", 65_536), ("past", 1000), ("future", 1000)]
)
def test_limits_of_the_task(base, tmp_path, field, largest):
    save(load(base), tmp_path)
    for value, fits in ((1, True), (0, False), (largest, True), (largest + 1, False)):
        (tmp_path / CONFIG).write_bytes(
            hostile_models.with_config(base, **{f"task__{field}": value})
        )
        if fits:
            model_files.read_config(tmp_path)
        else:
            with pytest.raises(InputError, match="is damaged"):
                model_files.read_config(tmp_path)
