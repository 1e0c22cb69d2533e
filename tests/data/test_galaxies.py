"""Splits and the order of an epoch: functions of ids and seeds, and of nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.data.galaxies import load
from galaxy_triton.data.order import count_batches, epoch_batches, slices
from galaxy_triton.data.split import split_by_fraction, split_by_ids
from galaxy_triton.data.store import Store, open_store
from galaxy_triton.system.errors import DataFault

CPU = torch.device("cpu")


@pytest.fixture
def store(sky: Any) -> Store:
    return open_store(sky.store)


def test_load(store: Store, sky: Any) -> None:
    done: list[int] = []
    galaxies = load(store, CPU, done.append)
    assert (galaxies.pixels.dtype, galaxies.pixels.shape) == (torch.uint8, (48, 24, 24, 4))
    assert np.array_equal(galaxies.pixels.numpy(), store.pixels)
    assert galaxies.ids.tolist() == sky.ids.tolist()
    assert galaxies.answers[:44].numpy() == pytest.approx(sky.answers, abs=1e-7)
    assert galaxies.answers[44:].isnan().all()
    assert galaxies.answers.dtype == torch.float32
    assert done == [48]


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.001, 1), (0.25, 11), (0.98, 43)])
def test_split_by_fraction(store: Store, fraction: float, count: int) -> None:
    split = split_by_fraction(store, fraction, 2**62)
    assert len(split.validation) == count
    assert np.sort(np.concatenate(split)).tolist() == list(range(44))
    assert all(np.all(np.diff(part) > 0) for part in split)
    assert len({tuple(split_by_fraction(store, 0.25, seed).validation) for seed in range(10)}) == 10


def test_split_by_fraction_hardly_moves(store: Store, sky: Any) -> None:
    """Each galaxy has its own draw: more galaxies displace some from the smallest, and bring none of the old in."""
    small = replace(store, ids=store.ids[:30], labels=sky.answers[:30])
    before = set(small.ids[split_by_fraction(small, 10 / 30, 1).validation].tolist())
    after = set(store.ids[split_by_fraction(store, 10 / 44, 1).validation].tolist())
    assert len(before) == len(after) == 10
    assert {number for number in after if number in small.ids} <= before


def test_split_by_ids(store: Store) -> None:
    """Ids that are unlabelled (the last four rows) or unknown choose nothing."""
    split = split_by_ids(store, np.array([*store.ids[[40, 3, 46]], 5]))
    assert split.validation.tolist() == [3, 40]
    assert split.train.tolist() == [row for row in range(44) if row not in (3, 40)]


def test_both_parts_of_a_split_have_galaxies(store: Store) -> None:
    for rows, part in (([45], "validation galaxies"), (list(range(44)), "galaxies to train on")):
        with pytest.raises(DataFault, match=f"{part}, got none"):
            split_by_ids(store, store.ids[rows])
    with pytest.raises(DataFault, match="galaxies to train on, got none"):
        split_by_fraction(store, 0.99, 1)


IDS = torch.from_numpy(np.random.default_rng(3).choice(10**6, 101, replace=False).astype(np.int64))
ROWS = torch.arange(1000, 1101)


def batches(seed: int = 1, epoch: int = 0, size: int = 16) -> list[list[int]]:
    return [batch.tolist() for batch in epoch_batches(ROWS, IDS, seed, epoch, size)]


@pytest.mark.parametrize("size", [1, 16, 51, 101, 200])
def test_epoch_batches(size: int) -> None:
    """Every row once; sizes differ by one at most and never pass the one asked for."""
    parts = batches(size=size)
    lengths = {len(part) for part in parts}
    assert sorted(row for part in parts for row in part) == ROWS.tolist()
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert len(parts) == count_batches(101, size) == int(np.ceil(101 / size))


def test_epoch_batches_differ() -> None:
    orders = {str(batches(seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16
    assert batches() == batches()


def test_epoch_batches_mix_well() -> None:
    """Over 400 epochs each row's mean place is the middle: its standard deviation is 101 / sqrt(12 * 400)."""
    places = np.array([np.argsort(np.concatenate(batches(epoch=epoch))) for epoch in range(400)])
    z = (places.mean(axis=0) - 50) / (101 / np.sqrt(12 * 400))
    assert np.abs(z).max() < 4.5
    assert 0.7 < z.std() < 1.3


def test_epoch_batches_know_ids_alone() -> None:
    """Another order of the rows in the store gives the same galaxies in the same batches."""
    shuffle = torch.randperm(101, generator=torch.Generator().manual_seed(5))
    other = epoch_batches(torch.arange(101), IDS[shuffle], 1, 0, 16)
    galaxies = [IDS[shuffle][batch].tolist() for batch in other]
    assert galaxies == [IDS[torch.tensor(batch) - 1000].tolist() for batch in batches()]


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_slices(count: int, size: int) -> None:
    parts = [list(range(count))[part] for part in slices(count, size)]
    assert [row for part in parts for row in part] == list(range(count))
    assert all(0 < len(part) <= size for part in parts)
    assert all(part.stop <= count for part in slices(count, size))
