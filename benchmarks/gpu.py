"""The same work on a GPU: `python -m benchmarks.gpu`. Not run on a GPU yet.

The tutorial's network, and ConvLSTM-S at batch 1 and 128, ours against plain cells; fp32 is what
torch makes of it, which is TF32 in convolutions.
"""

from dataclasses import replace

import torch

from benchmarks import layer, session, tutorial
from benchmarks.tutorial import Tutorial

EPOCHS, SEQUENCES = 20, 900  # the tutorial trains on 900 sequences of 1,000


def check() -> None:
    """All compute the same, with exact convolutions."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        tutorial.check(device="cuda")
        layer.check(layer.S, "cuda")


def main() -> None:
    """Check, then race."""
    run = session.start("gpu", __doc__, device="cuda")
    run.say(torch.cuda.get_device_name())
    check()
    case = tutorial.SMALL if run.quick else Tutorial()
    steps = EPOCHS * SEQUENCES // case.batch
    for name, times in tutorial.train(run, case, {}).items():
        run.say(f"  {name}: {steps * times.median:.0f} s for {EPOCHS} epochs, {steps} steps")
    tutorial.predict(run, case, {})
    stack = layer.S.small if run.quick else replace(layer.S, train_batch=128, batches=(1, 128))
    for work in layer.works(stack, "cuda"):
        layer.measure(run, work)


if __name__ == "__main__":
    main()
