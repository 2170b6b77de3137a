"""What is free, what tensors take, and what is said when memory runs out."""

import numpy as np
import pytest
import torch

from framecast.errors import InputError
from framecast.memory import Peak, available, enough_memory


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert available(tmp_path / "meminfo", tmp_path) == 4_096_000
    for name, text in (
        ("max", "1000000\n"),
        ("current", "700000"),
        ("stat", "x 1\ninactive_file 200000\n"),
    ):
        (tmp_path / f"memory.{name}").write_text(text)
    assert available(tmp_path / "meminfo", tmp_path) == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available(tmp_path / "meminfo", tmp_path) == 4_096_000
    assert available(tmp_path / "none") > 10**8


def test_the_peak_sees_what_autograd_keeps():
    given = torch.rand(1000, requires_grad=True)
    with Peak() as graph:
        kept = given.exp().exp().exp()
        kept.sum().backward()
    with Peak() as plain, torch.no_grad():
        given.exp().exp().exp()
    assert plain.bytes == pytest.approx(2 * 4000, abs=100)
    assert graph.bytes >= 4 * 4000


def on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def in_its_library():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize(
    "demand",
    [
        lambda: torch.empty(2**52, dtype=torch.uint8),
        lambda: np.empty(2**52, np.uint8),
        on_a_gpu,
        in_its_library,
    ],
)
def test_running_out_is_one_line(demand):
    with pytest.raises(InputError, match="the training needs more memory than there is: lower it"):
        with enough_memory("the training", "lower it"):
            demand()


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shape"), enough_memory("the training", "lower it"):
        torch.ones(3).view(2)
