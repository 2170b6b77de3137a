"""The benchmark of the GPU as far as a CPU goes: all works at a small size, recorded and not."""

import torch

from benchmarks import gpu, layer, tutorial
from benchmarks.session import Session
from framecast.layers import graphs


def quick(only=""):
    return Session("gpu", quick=True, repeats=1, only=only, command="none")


def test_all_works_are_measured(recorder, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.timing.LEAST", 1e-3)
    gpu.check("cpu")
    gpu.measure(quick(), tutorial.SMALL, layer.S.small)
    said = capsys.readouterr().out
    for work in (
        "tutorial: train step 3 → 2, batch 2",
        "tutorial: forecast 3 → 2, batch 1",
        "ConvLSTM-S (4 × 128, 5×5, patch 4): train step 3 → 2, batch 2",
        "ConvLSTM-S (4 × 128, 5×5, patch 4): forecast 3 → 2, batch 1",
        "moving digits, batch 64",
    ):
        assert f"\n{work}\n" in said
    for rival in ("ours", "ours, no graphs", "plain"):
        assert said.count(f"\n  {rival} fp32 ") == 4
        assert said.count(f"\n  {rival} fp32: 20 epochs, 9000 steps: ") == 1


def test_graphs_are_on_and_off(recorder):
    seen = []
    for recorded in (True, False):
        work = gpu.contestant(
            lambda: seen.append(graphs.recordable(torch.device("cpu"))), recorded, "cpu"
        )
        work()
        assert seen[-1] is recorded
    assert graphs.recordable(torch.device("cpu"))


def test_a_learner_is_recorded_and_learns(recorder):
    stack = layer.S.small
    case = gpu.stack_case(stack, "cpu")
    frames = case.frames(2, "cpu")
    learner = gpu.Learner(case.twins["ours"], mixed=True)
    before = case.twins["ours"].loss(*frames, 1.0).item()
    for _ in range(30):
        learner.step(*frames)
    assert len(recorder) == 1
    assert case.twins["ours"].loss(*frames, 1.0).item() < before


def test_only_what_is_wanted(capsys):
    gpu.measure(quick("digits"), tutorial.SMALL, layer.S.small)
    assert capsys.readouterr().out.startswith("\nmoving digits, batch 64\n")
