"""bench/floors.py: counts against a plain loop, times against arithmetic by hand, and the committed prediction."""

import json

import pytest
import torch

from bench.kernels import floors
from bench.kernels.floors import Rates, Work


def test_distinct_counts_as_a_set_does() -> None:
    values = torch.randint(-3, 6, (50, 9), generator=torch.Generator().manual_seed(0))
    want = [len({value for value in row if value >= 0}) for row in values.tolist()]
    assert floors.distinct(values).tolist() == want


def test_floors_by_hand() -> None:
    """Two multiprocessors at 0.5 GHz, so a clock of both together is a nanosecond."""
    work = Work(memory=3000, gather=40, instructions=128 * 7, conversions=16 * 9)
    found = floors.floors_ns(work, Rates(multiprocessors=2, clock_ghz=0.5, copy_gb_s=100))
    assert found == pytest.approx({"memory": 30, "gather": 40, "instructions": 7, "conversions": 9})


def test_addresses_are_those_of_words_inside_the_source() -> None:
    side = floors.SIDE
    x, y = torch.tensor([0, 3, side - 1, side, -1, 5]), torch.tensor([0, 2, side - 1, 0, 0, -1])
    outside = -floors.LINE
    want = [0, (2 * side + 3) * 4, (side * side - 1) * 4, outside, outside, outside]
    assert floors.addresses(x, y).tolist() == want


def test_the_prediction_is_of_what_was_counted() -> None:
    kept = json.loads(floors.PREDICTED.read_text())
    work = floors.counted()
    assert kept["work"] == pytest.approx(vars(work))
    # A view has 128 x 128 pixels: its own bytes are the least that is written, the whole source the most that is read.
    written = floors.SIZE**2 * 3 * floors.BYTES_A_VALUE
    assert written < work.memory <= written + floors.SIDE**2 * 4
    for name, gpu in kept["gpus"].items():
        slowest = max(floors.floors_ns(work, floors.GPUS[name]).values())
        assert gpu["views_per_s"][gpu["tightest"]] == pytest.approx(1e9 / slowest, rel=1e-3)


def test_share_of_a_measured_time() -> None:
    """A call that takes twice its tightest floor has half of it."""
    kept = json.loads(floors.PREDICTED.read_text())
    times = floors.floors_ns(Work(**kept["work"]), floors.GPUS["H200"])
    part, tightest = floors.share(2 * 512 * max(times.values()) / 1e3, 512, floors.GPUS["H200"])
    assert part == pytest.approx(0.5)
    assert times[tightest] == max(times.values())
