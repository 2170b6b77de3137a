"""What a run stands on: versions, machine, data."""

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import torch

from framecast.data.windows import Dataset
from framecast.errors import InputError
from framecast.machine import processor
from framecast.train.processes import Processes

SAME = ("versions", "processor", "threads", "device", "processes")  # or the last bits may differ

log = logging.getLogger("framecast")


def environment(data: Dataset, precision: str, processes: Processes) -> dict[str, Any]:
    """Versions, machine, and fingerprints of the data."""
    splits = ("train", "validation", "test")
    return {
        "command": sys.argv,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "framecast": version("framecast"),
        },
        "commit": commit("framecast"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        **hardware(),
        "processes": processes.size,
        "precision": precision,
        "data": {split: getattr(data, split).fingerprint() for split in splits},
        "windows": None if data.train.endless else len(data.train),
    }


def hardware() -> dict[str, Any]:
    """What computes: processor, threads, and the device."""
    return {
        "processor": f"{processor()} ({torch.backends.cpu.get_cpu_capability()})",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def commit(*folders: str) -> str:
    """The commit of framecast's sources, with a plus where some of the folders differ from it.

    Empty outside of a repository of its own.
    """
    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
        return done.stdout.strip()

    if not which("git") or not git("ls-files", "framecast/__init__.py"):
        return ""
    changed = git("status", "--porcelain", "--", *folders)
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def compare(run: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other data; say where the last bits may differ.

    Raises:
        InputError: the data are not those that the run began with.
    """
    for split, fingerprint in then["data"].items():
        if now["data"][split] != fingerprint:
            fix = "restore the data, or start a new run"
            raise InputError(f"the {split} data", f"are not those that {run} began with", fix)
    changed = [name for name in SAME if now[name] != then[name]]
    if changed:
        said = ", ".join(f"{name} {then[name]} -> {now[name]}" for name in changed)
        log.warning("%s began with other %s: it goes on, not bit for bit", run, said)
