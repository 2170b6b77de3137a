"""fp32 or bf16: chosen by a quick measurement, since hardware without bf16 is slower with it."""

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.layers.convolution import Shape, fastest_way, step_seconds
from framecast.train.config import TrainConfig
from framecast.train.processes import Processes

STEP = Shape(batch=4, hidden=48, kernel=3, height=16, width=16, training=True)


def settle_precision(config: TrainConfig, processes: Processes) -> TrainConfig:
    """Replace "auto" by the type that is faster on this machine, the same in all processes."""
    if config.precision != "auto":
        return config
    measure = _on_cpu if processes.device.type == "cpu" else _on_gpu
    full, half = (measure(kind, processes.device) for kind in (torch.float32, torch.bfloat16))
    # A tenth faster is not worth the digits, and within the noise of the measurement.
    faster = processes.agree(float(half < 0.9 * full))
    return config.model_copy(update={"precision": "bf16" if faster else "fp32"})


def _on_cpu(dtype: torch.dtype, _: torch.device) -> float:
    """A step of a recurrent layer in the way that it would take: bf16 has to beat Winograd's."""
    return step_seconds(STEP, fastest_way(STEP, dtype, torch.get_num_threads()))


def _on_gpu(dtype: torch.dtype, device: torch.device) -> float:
    """Fastest of three convolutions forward and backward, of a size that takes milliseconds."""
    frames_BCHW = torch.ones(4, 32, 16, 16, device=device, dtype=dtype, requires_grad=True)
    weight = torch.ones(64, 32, 3, 3, device=device, dtype=dtype, requires_grad=True)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        loss: Tensor = F.conv2d(frames_BCHW, weight, padding=1).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first one also sets up the kernels
