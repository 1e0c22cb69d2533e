"""The passes of an epoch: who comes when, and which views each pass draws."""

from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.config.schema import Run
from galaxy_triton.data.order import epoch_batches
from galaxy_triton.data.passes import Passes, count_steps
from galaxy_triton.data.split import Split
from galaxy_triton.system.console import Display
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.loop import Trainer

IDS = torch.from_numpy(np.sort(np.random.default_rng(3).choice(10**6, 90, replace=False)).astype(np.int64))
TRAIN, REPEATED = np.arange(70), np.arange(0, 70, 7)  # rows; ten are repeated
SPLIT = Split(TRAIN, np.arange(70, 90), REPEATED)


def passes(repeat: int = 3, batch_size: int = 8, split: Split = SPLIT, ids: torch.Tensor = IDS) -> Passes:
    return Passes(split, ids, Run(batch_size=batch_size, repeat=repeat))


def test_one_pass_is_an_epoch_of_old() -> None:
    got = passes(1, split=Split(TRAIN, np.empty(0, np.int64))).steps(5)
    want = epoch_batches(torch.from_numpy(TRAIN), IDS[:70], 1, 5, 8)
    assert all(torch.equal(step.rows, rows) for step, rows in zip(got, want, strict=True))
    assert {step.number for step in got} == {5}


@pytest.mark.parametrize("epoch", [0, 1, 6])
@pytest.mark.parametrize("repeat", [2, 3, 7])
def test_who_comes_when(repeat: int, epoch: int) -> None:
    """The repeated once in each pass, the others once an epoch; passes are numbered through the run."""
    steps = passes(repeat).steps(epoch)
    assert sorted({step.number for step in steps}) == list(range(epoch * repeat, (epoch + 1) * repeat))
    assert [step.number for step in steps] == sorted(step.number for step in steps)
    dealt: list[int] = []
    for number in {step.number for step in steps}:
        rows = [row for step in steps if step.number == number for row in step.rows.tolist()]
        assert set(REPEATED) <= set(rows)
        assert len(set(rows)) == len(rows)
        dealt += set(rows) - set(REPEATED)
    assert sorted(dealt) == sorted(set(TRAIN) - set(REPEATED))


@pytest.mark.parametrize(("repeat", "batch_size"), [(2, 8), (3, 7), (7, 64), (7, 1), (90, 3)])
def test_batches_are_as_large_in_any_epoch(repeat: int, batch_size: int) -> None:
    """Even where there are more passes than galaxies that are not repeated."""
    sizes = [[len(step.rows) for step in passes(repeat, batch_size).steps(epoch)] for epoch in range(3)]
    assert sizes[0] == sizes[1] == sizes[2]
    assert max(sizes[0]) <= batch_size
    assert sum(sizes[0]) == 60 + 10 * repeat
    assert len(sizes[0]) == count_steps(70, 10, Run(batch_size=batch_size, repeat=repeat))


def test_passes_know_ids_alone() -> None:
    """Another order of the rows in the store gives the same galaxies in the same batches."""
    shuffle = torch.randperm(90, generator=torch.Generator().manual_seed(5))
    place = torch.argsort(shuffle).numpy()
    other = Split(np.sort(place[TRAIN]), np.sort(place[70:]), np.sort(place[REPEATED]))
    shuffled = IDS[shuffle]
    for got, want in zip(passes(split=other, ids=shuffled).steps(2), passes().steps(2), strict=True):
        assert torch.equal(shuffled[got.rows], IDS[want.rows])


def test_passes_mix_well() -> None:
    """Over 300 seeds repeated galaxies are as early in the run's first pass as the others, whose draws that dealt them
    to it say nothing of their place; each galaxy is as often in the first as in the second."""
    first, places = np.zeros(70), []
    for seed in range(300):
        rows = Passes(SPLIT, IDS, Run(batch_size=70, repeat=2, seed=seed)).steps(0)[0].rows.numpy()
        first[rows] += 1
        places.append(np.flatnonzero(np.isin(rows, REPEATED)).mean())
    assert np.mean(places) == pytest.approx(19.5, abs=4.5 * 40 / np.sqrt(12 * 10 * 300))
    others = np.setdiff1d(TRAIN, REPEATED)
    assert first[REPEATED].tolist() == [300] * 10
    assert np.abs(first[others] - 150).max() < 4.5 * np.sqrt(300 / 4)


def test_every_pass_draws_its_own_views(make_plan: Any, tmp_path: Any, display: Display) -> None:
    """A step's views are drawn with the number of its pass in place of the epoch's."""
    plan = make_plan(tmp_path, **{"run.repeat": 3})
    object.__setattr__(plan, "split", plan.split._replace(repeated=plan.split.train[:6]))
    trainer, drawn = Trainer(plan), []
    random = trainer.learner.maker.random

    def noting(batch: Any, seed: Any, epoch: torch.Tensor, buffer: Any) -> torch.Tensor:
        drawn.append((int(epoch), batch.ids.tolist()))
        return random(batch, seed, epoch, buffer)

    object.__setattr__(trainer.learner.maker, "random", noting)
    trainer.fit(display, Stop())
    assert sorted({number for number, _ in drawn}) == list(range(6))
    for number in range(6):
        ids = [each for other, some in drawn if other == number for each in some]
        assert set(plan.galaxies.ids[:48][plan.split.repeated].tolist()) <= set(ids)


def test_every_epoch_is_dealt_anew() -> None:
    dealt = [passes(2, 70).steps(epoch)[0].rows.sort().values.tolist() for epoch in range(8)]
    assert len({tuple(rows) for rows in dealt}) == 8
