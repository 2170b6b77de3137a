"""Model folders as a stranger with bad intentions would make them: each is to be refused."""

import hashlib
import json
import os
import pickle
import shutil
import socket
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from framecast.checkpoint import CONFIG, WEIGHTS, save
from framecast.models import build_model
from framecast.models.forecaster import Task

MODEL = {"name": "conv_lstm", "hidden": [2], "kernel": [1], "patch": 1, "motion": 0, "norm": "none"}
TASK = {"channels": 1, "height": 8, "width": 8, "past": 2, "future": 2}
GIVEN = {"model": MODEL, "task": TASK}


class Runs:
    """An object whose unpickling runs a command."""

    def __reduce__(self):
        return os.system, ("true",)


@dataclass(frozen=True)
class Hostile:
    """One folder, and whether a careless reader would act on it."""

    folder: Path
    acts: bool = False


def sound(folder):
    """A model folder with nothing wrong."""
    settings = {key: value for key, value in MODEL.items() if key != "name"}
    return save(build_model("conv_lstm", settings, Task(**TASK)), folder)


def packed(header, content=b"", length=None):
    """A safetensors file of this header: JSON or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


def tensor(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def read(folder):
    """Header and content of the sound file."""
    whole = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def with_config(base, **changes):
    """The sound config with changes, `section__key` for one inside."""
    config = json.loads((base / CONFIG).read_text())
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            config[section][key] = value
        else:
            config[section] = value
    return json.dumps(config).encode()


def weights_files(base):
    """Contents of model.safetensors, by name."""
    header, content = read(base)
    first = max(header, key=lambda key: len(header[key]["shape"]))
    shape, dtype = header[first]["shape"], header[first]["dtype"]

    def changed(**entry):
        return packed(header | {first: header[first] | entry}, content)

    start, end = header[first]["data_offsets"]
    size = len(content)
    yield "empty", b""
    yield "seven bytes", b"1234567"
    yield "no header", packed(b"", content)
    yield "endless header", packed(header, content, 2**64 - 1)
    yield "negative header", packed(header, content, 2**63)
    yield "header beyond the file", packed(header, content, 10_000)
    yield "header cut short", packed(header, content, 20)
    yield "header of 1 MB and a byte", packed(json.dumps(header).encode().ljust((1 << 20) + 1))
    many = {f"{n:07}": tensor([0], [0, 0]) for n in range(10_001)}
    yield "10,001 tensors", packed(many)
    yield "header of 82 MB", packed(b"{" + b'"a":"b",' * 10_250_000 + b'"c":1}')
    yield "no JSON", packed(b"{dtype}", content)
    yield "a list", packed([header], content)
    yield "a number", packed(b"12345", content)
    yield "no UTF-8", packed(b'{"\xff\xfe": 1}', content)
    yield "UTF-16", packed(json.dumps(header).encode("utf-16"), content)
    text = json.dumps(header)
    yield "a key twice", packed(f"{text[:-1]}, {text[1:]}".encode(), content)
    yield "a NaN", packed(text.replace(f'"shape": {shape}', '"shape": [NaN]', 1).encode(), content)
    yield "nested 100,000 deep", packed(b'{"a":' + b"[" * 100_000 + b"}", content)
    yield "nested 100,000 deep and closed", packed(b"[" * 100_000 + b"]" * 100_000, content)
    for wrong in ([-1], [1.5], [True], ["1"], [2**40, 2**40], [1] * 1000, [2**70], None, {}, [[1]]):
        yield f"shape {str(wrong)[:20]}", changed(shape=wrong)
    yield "transposed", changed(shape=[*reversed(shape)])
    for wrong in ([start, end + 4], [end, start], [-4, end - 4], [0, 2**63], [start], [0.0, 4.0]):
        yield f"offsets {wrong}", changed(data_offsets=wrong)
    last = max(header, key=lambda key: header[key]["data_offsets"])
    yield "overlap", packed(header | {last: header[last] | {"data_offsets": [0, size]}}, content)
    for wrong in ("F8_E4M3", "BOOL", "C64", "os.system", "F32\0", 32, None):
        yield f"type {wrong!r}", changed(dtype=wrong)
    yield "whole numbers", changed(dtype="I64")
    for half in ("F16", "BF16"):
        yield f"{half} in the bytes of F32", changed(dtype=half)
        yield f"{half} with offsets alone", changed(dtype=half, data_offsets=[start, start + 2])
    halves = {key: entry | {"dtype": "F16"} for key, entry in header.items()}
    yield "F16 in half the bytes", packed(halves, content[: size // 2])
    yield "an extra field", changed(module="os")
    fewer = {key: header[key] for key in header if key != last}
    yield "a tensor missing", packed(fewer, content[: header[last]["data_offsets"][0]])
    yield (
        "a tensor too many",
        packed(header | {"x": tensor([1], [size, size + 4])}, content + b"0000"),
    )
    renamed = {f"../{key}": value for key, value in header.items()}
    yield "names that are paths", packed(renamed, content)
    yield "a byte less", packed(header, content[:-1])
    yield "a byte more", packed(header, content + b"x")
    later = 4 + end - start
    yield "a gap", packed({first: tensor(shape, [4, later], dtype)}, b"0" * later)


def configs(base):
    """Contents of config.json, by name."""
    deep = b'{"model": {"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    yield "config empty", b""
    yield "config of 2 MB", with_config(base).ljust(2 << 20)
    yield "config of 1 MB and a byte", with_config(base).ljust((1 << 20) + 1)
    yield "config nested deep", deep
    yield "config half a file", with_config(base)[:-9]
    yield "config in UTF-16", with_config(base).decode().encode("utf-16")
    yield "config with a wrong byte", with_config(base).replace(b"conv", b"\xffonv")
    yield "config a key twice", with_config(base).replace(b'"past": 2', b'"past": 2, "past": 3')
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000):
        text = with_config(base, model__teacher_forcing=0.125).replace(b"0.125", number)
        yield f"config with {number[:9]}", text
    for name in ("lstm", "../x", "/dev/zero", "x" * 900_000, "\ud800", "\x1b[2J", None, [], {}, 7):
        yield f"name {str(name)[:9]!r}", with_config(base, model__name=name)
    for key in ("_target_", "__class__", "auto_map", "trust_remote_code", "torch_dtype"):
        yield f"key {key}", with_config(base, **{f"model__{key}": "os.system"})
    ranges = {
        "model__hidden": ([4096] * 1000, [4096] * 64, [0], [-1], [4097], [], [10**400], "8" * 4000),
        "model__kernel": ([33], [2], [0], [1] * 65),
        "model__motion": (18, -2, 3, 10**30),
        "model__loss": ("os.system", None),
        "task__height": (0, 65_537, "8", 8.5, True, None, 10**30),
        "task__channels": (0, 4097),
        "task__past": (0, 1001),
        "task__os": ("system",),
        "task": ([], "x", None),
        "data": ([1], "x"),
    }
    for path, values in ranges.items():
        for value in values:
            yield f"{path} {str(value)[:12]}", with_config(base, **{path: value})
    great = {"name": "mean_frame"}
    frames = {**TASK, "channels": 4096, "height": 65_536, "width": 65_536}
    yield "a mean frame of 64 TB", with_config(base, model=great, task=frames)
    wide = {"name": "conv_lstm", "hidden": [4096] * 64, "kernel": [31]}
    yield "a network of 8 trillion weights", with_config(base, model=wide)


def careless(base):
    """Files on which a careless reader acts: (name, config.json, model.safetensors)."""
    config, weights = (base / CONFIG).read_bytes(), (base / WEIGHTS).read_bytes()
    for protocol in range(6):
        yield f"pickle {protocol}", config, pickle.dumps({"w": Runs()}, protocol)
    for module in ("ftplib", "wave", "smtplib", "imaplib", "poplib", "turtledemo"):
        yield f"imports {module}", with_config(base, model__name=module), weights
    for address in ("http://127.0.0.1:9/a", "http://localhost:9/model.safetensors"):
        yield f"fetches {address[:18]}", with_config(base, model__name=address), weights


def special(base, root):
    """Folders in which something is no regular file."""
    for name in (CONFIG, WEIGHTS):
        targets = {
            "zero": "/dev/zero",
            "random": "/dev/urandom",
            "loop": name,
            "memory": "/proc/self/mem",
        }
        for kind, target in [*targets.items(), ("nothing", "missing")]:
            folder = copied(base, root / f"{name} links to {kind}")
            (folder / name).unlink()
            (folder / name).symlink_to(target)
            yield folder
        folder = copied(base, root / f"{name} is a pipe")
        (folder / name).unlink()
        os.mkfifo(folder / name)
        yield folder
        folder = copied(base, root / f"{name} is a folder")
        (folder / name).unlink()
        (folder / name).mkdir()
        yield folder
    folder = copied(base, root / "socket")
    (folder / WEIGHTS).unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / WEIGHTS))
    yield folder


def large(base, root):
    """Files that are small on the disk and say that they are large."""
    folder = copied(base, root / "a hole of 1 TB")
    header, _ = read(base)
    first = next(iter(header))
    with (folder / WEIGHTS).open("wb") as file:
        file.write(packed({first: tensor([2**38], [0, 2**40])}))
        file.truncate(file.tell() + 2**40)
    yield folder
    folder = copied(base, root / "a zip bomb")
    with zipfile.ZipFile(folder / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * (256 << 20))
    yield folder
    folder = copied(base, root / "torch.save")
    torch.save({"x": torch.zeros(1)}, folder / WEIGHTS)
    yield folder


def runs(base, root):
    """Runs whose own weights are damaged, and whose checkpoints are worse."""
    secret = Path("/etc/hostname")

    def run(name, manifest, facts=b"{}"):
        folder = copied(base, root / f"run with {name}")
        (folder / WEIGHTS).write_bytes(b"damaged")
        step = folder / "checkpoints" / "step_00000001"
        shutil.copytree(base, step)
        (step / "training.json").write_bytes(facts)
        (step / "manifest.json").write_bytes(manifest)
        return folder, step

    def sealing(path, name):
        content = path.read_bytes()
        return {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}

    yield run("no seals", b"{}")[0]
    yield run("a manifest of 2 MB", b" " * (2 << 20) + b"{}")[0]
    yield run("a deep manifest", b"[" * 100_000)[0]
    outside = sealing(secret, f"../../../../../../..{secret}")
    yield run("a path outside", json.dumps(outside).encode())[0]
    sealed = {**sealing(base / CONFIG, CONFIG), **sealing(base / WEIGHTS, WEIGHTS)}
    endless = {**sealed, "training.safetensors": {"sha256": "0", "bytes": 2**60}}
    folder, step = run("a hole of 1 TB", json.dumps(endless).encode(), b"[" * 10**6)
    (step / WEIGHTS).write_bytes(b"damaged too")
    with (step / "training.safetensors").open("wb") as file:
        file.truncate(2**40)
    yield folder
    folder, step = run("pipes", json.dumps(sealed).encode())
    for name in ("training.json", "manifest.json"):
        (step / name).unlink()
        os.mkfifo(step / name)
    yield folder


def _plain(name):
    """Fit for the name of a folder."""
    return "".join(c if c.isalnum() and c.isascii() else " " for c in name)[:60]


def copied(base, folder):
    number = sum(1 for _ in folder.parent.iterdir())
    return Path(shutil.copytree(base, folder.with_name(f"{number:03} {folder.name}")))


def build(base, root):
    """All hostile folders."""
    for name, content in weights_files(base):
        folder = copied(base, root / _plain(name))
        (folder / WEIGHTS).write_bytes(content)
        yield Hostile(folder)
    for name, content in configs(base):
        folder = copied(base, root / _plain(name))
        (folder / CONFIG).write_bytes(content)
        yield Hostile(folder)
    for name, config, weights in careless(base):
        folder = copied(base, root / _plain(name))
        (folder / CONFIG).write_bytes(config)
        (folder / WEIGHTS).write_bytes(weights)
        yield Hostile(folder, acts=True)
    yield from map(Hostile, [*special(base, root), *large(base, root), *runs(base, root)])
