"""Contestants take turns, and short work is done several times. No real time passes here."""

import pytest

from benchmarks.timing import LEAST, LONG, Stopwatch, Times, race, reference


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        def wait():
            self.now += seconds

        return wait


def test_short_work_is_done_several_times():
    clock = Clock()
    watch = Stopwatch(clock.work(LEAST / 4), clock=clock)
    assert watch() == pytest.approx(LEAST / 4)
    assert watch.calls == 4
    assert watch() == pytest.approx(LEAST / 4)
    assert clock.now == pytest.approx(LEAST / 4 * 5)


def test_long_work_is_done_once():
    clock = Clock()
    watch = Stopwatch(clock.work(3 * LEAST), clock=clock)
    assert [watch(), watch()] == pytest.approx([3 * LEAST, 3 * LEAST])
    assert watch.calls == 1


def test_a_device_is_waited_for():
    clock, waits = Clock(), []

    def wait():
        waits.append(clock.now)
        clock.now += 1.0

    assert Stopwatch(clock.work(2.0), wait, clock)() == 3.0  # the wait before does not count
    assert waits == [0.0, 3.0]


def contestant(name, seconds, calls):
    def run():
        calls.append(name)
        return seconds

    return run


def test_each_round_begins_with_another_contestant():
    calls = []
    contestants = {name: contestant(name, 1.0, calls) for name in "abc"}
    race(contestants, rounds=4, warm_up=False)
    assert "".join(calls) == "abcbcacababc"


def test_warm_ups_do_not_count_and_long_work_warms_up_once():
    short, long = iter([0.9, 0.8, 0.3]), iter([3 * LONG, 2 * LONG])
    times = race({"short": lambda: next(short), "long": lambda: next(long)}, rounds=1)
    assert {name: one.seconds for name, one in times.items()} == {
        "short": (0.3,),
        "long": (2 * LONG,),
    }


def test_median_and_ratio_round_by_round():
    ours, plain = Times((1.0, 2.0, 4.0)), Times((3.0, 2.0, 8.0))
    assert (ours.median, plain.median) == (2.0, 3.0)
    ratio = plain.over(ours)
    assert ratio.seconds == (3.0, 1.0, 2.0)
    assert ratio.median == 2.0  # not 3 / 2


def test_ours_at_its_fastest_is_the_reference():
    times = {"plain": Times((1.0,)), "ours fp32": Times((3.0,)), "ours bf16": Times((2.0,))}
    assert reference(times) == "ours bf16"
