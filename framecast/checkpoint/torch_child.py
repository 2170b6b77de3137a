"""The child process of `import_torch`: tensors of a pickle on stdin, as safetensors on stdout.

It is run by its path and imports no framecast. It exits with 3 and one line on stderr when it
refuses the file; how else it ends, the parent survives.
"""

import io
import resource
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

SECONDS = 60  # of CPU
MEMORY = 512 << 20  # bytes beside four times the file: what is read, copied and written
REFUSED = 3  # exit code
SECTIONS = ("state_dict", "model_state_dict", "model", "module")  # where checkpoints keep weights
FORBIDDEN = ("import", "socket.", "subprocess.", "os.", "ctypes.", "pty.", "shutil.", "exec")


class RefusedError(Exception):
    """The file is not what can be imported."""


def convert(size: int) -> None:
    """Read a file of `size` bytes from stdin."""
    torch.set_num_threads(1)
    _import_all()
    _lock(size)
    loaded = torch.load(sys.stdin.buffer, map_location="cpu", weights_only=True)
    tensors = {name: _plain(name, tensor) for name, tensor in _weights(loaded).items()}
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > 2 * size + (1 << 20):  # before views are copied out
        raise RefusedError(f"would grow from {size} to {total} bytes")
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    sys.stdout.buffer.write(safetensors.torch.save(copies))


def _import_all() -> None:
    """Read a file of each kind: what that imports is there when imports are forbidden."""
    for new in (True, False):
        content = io.BytesIO()
        torch.save({"x": torch.ones(1)}, content, _use_new_zipfile_serialization=new)
        content.seek(0)
        torch.load(content, map_location="cpu", weights_only=True)
    safetensors.torch.save({"x": torch.ones(1)})


def _lock(size: int) -> None:
    """Limit what the process may take, and forbid Python to reach beyond it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    most = pages * resource.getpagesize() + 4 * size + MEMORY
    limits = {
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 2 * size + (2 << 20),
    }
    if pages:
        limits[resource.RLIMIT_AS] = most
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN) or event == "open":
            raise RefusedError(f"tries {event} {arguments[:1]!s:.80}")

    sys.addaudithook(audit)


def _weights(loaded: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint: the file itself, or the section that has one."""
    for found in (loaded, *(loaded.get(key) for key in SECTIONS if isinstance(loaded, dict))):
        if isinstance(found, dict) and any(isinstance(value, Tensor) for value in found.values()):
            tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)}
            return {str(name): tensor for name, tensor in tensors.items()}
    raise RefusedError(f"holds no state dict (nor under {', '.join(SECTIONS)})")


def _plain(name: str, tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        raise RefusedError(f"{name!a:.80} is a sparse, quantised or otherwise special tensor")
    return tensor


if __name__ == "__main__":
    try:
        convert(int(sys.argv[1]))
    except Exception as error:
        said = " ".join(f"{error}".split()) or type(error).__name__
        sys.stderr.write(f"{said:.300}")
        sys.exit(REFUSED)
