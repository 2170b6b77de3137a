"""Opens model folders one by one and writes down what each of them made the process do.

python tests/checkpoint/audited_child.py sound|naive GOOD_FOLDER FOLDER… prints JSON: for each
folder the answer, the acts (imports, sockets, processes, files written), seconds and MB.
"""

import importlib
import json
import pickle
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import torch

import framecast
from framecast.errors import InputError

ACTS = ("import", "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")
ACTS += ("ctypes.", "pty.", "exec", "compile", "os.remove", "os.rename", "os.symlink", "shutil.")
acts, watching = [], False


def audit(event, arguments):
    if not watching:
        return
    if event.startswith(ACTS):
        acts.append(f"{event} {str(arguments[:1])[:60]}")
    # The mode of os.open is None; its flags say whether it writes.
    if event == "open" and (set(arguments[1] or "") & set("wax+") or arguments[2] & 3):
        acts.append(f"write {arguments[0]}")


def naive(folder):
    """A reader that believes what a file says."""
    name = json.loads(Path(folder, "config.json").read_text())["model"]["name"]
    if name.startswith("http"):
        urlopen(name, timeout=1)
    if name != "conv_lstm":
        importlib.import_module(name)
    return pickle.loads(Path(folder, "model.safetensors").read_bytes())


def status(key):
    """VmRSS or VmHWM in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0.0


def tried(load, folder):
    global watching
    acts.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, started = status("VmRSS"), time.perf_counter()
    watching = True
    try:
        load(folder)
        answer = "loaded"
    except InputError as error:
        answer = f"refused: {error}"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    watching = False
    seconds, grown = time.perf_counter() - started, status("VmHWM") - before
    return {"answer": ascii(answer[:600])[1:-1], "acts": [*acts], "seconds": seconds, "mb": grown}


if __name__ == "__main__":
    kind, good, *folders = sys.argv[1:]
    torch.set_num_threads(1)
    framecast.load(good)  # what any model imports is imported now
    try:
        framecast.load("no such model")
    except InputError:
        pass
    sys.addaudithook(audit)
    load = framecast.load if kind == "sound" else naive
    sys.stdout.write(json.dumps({folder: tried(load, folder) for folder in folders}))
