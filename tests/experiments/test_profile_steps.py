"""Steps recorded by torch's profiler: the shares of a real network's time, and trainings that end early."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import record_function

from galaxy_triton.config.schema import Augmentation, Network, Optimiser
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.experiments.profile_shares import IDLE, NORM, OPTIMISER, PRODUCT, read_shares
from galaxy_triton.experiments.profile_steps import StepProfiler, unavailable
from galaxy_triton.model.head import HEADS, make_network
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.learner import AUGMENT, BACKWARD, BODY, LABELS, LOSS, UPDATE
from galaxy_triton.train.optimiser import make_optimiser

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def step() -> Callable[[], None]:
    """A labelled training step of a network that holds every kind of layer."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (4, 24, 24, 4), dtype=torch.uint8, generator=generator)
    galaxies = Galaxies(pixels, torch.arange(4) + 100_000, torch.rand(4, 37, generator=generator))
    network = make_network(Network(widths=(8, 16), convs=1, hidden=16))
    optimiser = make_optimiser(network, Optimiser(), CPU)
    maker, rows, zero = ViewMaker(Augmentation(size=16, brightness=0.1)), torch.arange(4), torch.tensor(0)
    buffer = maker.empty(4, CPU)

    def make() -> None:
        with record_function(AUGMENT):
            views = maker.random(batch_of(galaxies, rows), zero, zero, buffer)
        with record_function(BODY):
            logits = network(views)
        with record_function(LOSS):
            loss = HEADS["sigmoid"].loss(logits, galaxies.answers[rows], "torch")
        with record_function(BACKWARD):
            loss.backward()  # type: ignore[no-untyped-call]
        with record_function(UPDATE):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return make


def record(step: Callable[[], None], made: int, skip: int, steps: int) -> StepProfiler:
    with StepProfiler(CPU, skip, steps) as profiler:
        for _ in range(made):
            step()
            profiler.step()
    return profiler


def test_shares_of_a_network(step: Callable[[], None]) -> None:
    profiler = record(step, made=6, skip=2, steps=3)
    assert profiler.complete
    events = json.loads(profiler.trace())["traceEvents"]
    shares = read_shares(events, "cpu")
    assert all(shares[kind] > 0 for kind in ("augmentation", PRODUCT, NORM, "loss", OPTIMISER, IDLE))
    # On one thread nothing runs side by side: every microsecond has one kind.
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    names = [event["name"] for event in events]
    assert [names.count(label) for label in LABELS] == [3] * len(LABELS)


@pytest.mark.parametrize("made", [0, 1, 2, 3])
def test_a_training_that_ends_early_is_not_complete(step: Callable[[], None], made: int) -> None:
    assert not record(step, made, skip=2, steps=2).complete


def test_a_training_that_fails_leaves_the_profiler_free(step: Callable[[], None]) -> None:
    profiler = StepProfiler(CPU, 1, 1)

    def fail() -> None:
        with profiler:
            step()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not profiler.complete
    assert record(step, made=2, skip=1, steps=1).complete


def test_a_trace_cut_short_is_a_fault(step: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, which torch's profiler does not report."""

    def cut(recorded: object, path: str) -> None:
        Path(path).write_text('{"traceEvents": [')

    monkeypatch.setattr(torch.profiler.profile, "export_chrome_trace", cut)
    with pytest.raises(DataFault):
        record(step, made=2, skip=1, steps=1).trace()


def test_devices_without_a_profiler() -> None:
    assert unavailable(CPU) is None
    assert unavailable(torch.device("mps")) is not None
