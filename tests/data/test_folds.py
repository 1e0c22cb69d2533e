"""Folds: equal parts that a seed and ids alone decide, kept in a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galaxy_triton.data.folds import draw_folds, ids_to_hold_out, read_folds, split_of_fold, write_folds
from galaxy_triton.data.split import split_by_fraction
from galaxy_triton.data.store import open_store
from galaxy_triton.system.errors import DataFault

IDS = np.random.default_rng(7).choice(10**6, 101, replace=False).astype(np.int64)


@pytest.mark.parametrize("count", [2, 10, 101])
def test_draw_folds(count: int) -> None:
    folds = draw_folds(IDS, count, 1)
    sizes = np.bincount(folds.numbers)[1:]
    assert folds.ids.tolist() == sorted(IDS.tolist())
    assert len(sizes) == count == folds.count
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 1


def test_draw_folds_knows_seed_and_ids_alone() -> None:
    """Not their order; and ids beside do not matter more than a place in line."""
    kept = draw_folds(IDS, 5, 1).numbers
    assert draw_folds(IDS[::-1], 5, 1).numbers.tolist() == kept.tolist()
    assert len({tuple(draw_folds(IDS, 5, seed).numbers) for seed in range(20)}) == 20


def test_draw_folds_stays() -> None:
    """Another draw would silently move every fold of every user."""
    assert draw_folds(np.arange(100_000, 100_012), 3, 0).numbers.tolist() == [1, 2, 3, 1, 1, 3, 2, 1, 3, 2, 2, 3]


def test_draw_folds_is_fair() -> None:
    """Over 400 seeds each galaxy is in each of four folds about a hundred times."""
    numbers = np.array([draw_folds(IDS, 4, seed).numbers for seed in range(400)])
    counts = np.array([(numbers == fold).sum(axis=0) for fold in range(1, 5)])
    assert np.abs(counts - 100).max() < 5 * np.sqrt(400 * 3 / 16)


def test_split_of_fold(sky: Any) -> None:
    """Every labelled galaxy is validated on once, and trained on in all other folds."""
    store = open_store(sky.store)
    folds = draw_folds(ids_to_hold_out(store, None), 4, 1)
    splits = [split_of_fold(store, folds, number) for number in range(1, 5)]
    assert np.sort(np.concatenate([split.validation for split in splits])).tolist() == list(range(44))
    for split in splits:
        assert np.sort(np.concatenate(split)).tolist() == list(range(44))
    assert splits[0].validation.tolist() == split_by_fraction(store, 0.25, 1).validation.tolist()
    # of 44 in 10 folds the first has one more than the fraction, which is rounded
    first = split_of_fold(store, draw_folds(ids_to_hold_out(store, None), 10, 1), 1).validation
    assert set(first) > set(split_by_fraction(store, 0.1, 1).validation)


def test_listed_ids_alone_are_held_out(sky: Any, tmp_path: Path) -> None:
    """Ids that are unlabelled or unknown are in no fold."""
    table = tmp_path / "ids.csv"
    table.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in [*sky.ids[38:46], 5]))
    store = open_store(sky.store)
    folds = draw_folds(ids_to_hold_out(store, table), 3, 1)
    assert folds.ids.tolist() == sky.ids[38:44].tolist()
    for number in (1, 2, 3):
        split = split_of_fold(store, folds, number)
        assert set(split.validation) < set(range(38, 44))
        assert len(split.validation) == 2
        assert sorted([*split.train, *split.validation]) == list(range(44))
    table.write_text("GalaxyID\n5\n")
    with pytest.raises(DataFault, match="galaxies for the folds, got none"):
        ids_to_hold_out(store, table)


@pytest.mark.parametrize("zeros", ["", "00"])
def test_folds_are_kept(zeros: str, sky: Any, tmp_path: Path) -> None:
    """With the galaxies' names."""
    store = replace(open_store(sky.store), names=np.array([f"{zeros}{number}" for number in sky.ids]))
    folds = draw_folds(store.ids, 5, 1)
    write_folds(tmp_path / "folds.csv", folds, store)
    assert (tmp_path / "folds.csv").read_text().startswith(f"GalaxyID,fold\n{zeros}{sky.ids[0]},")
    again = read_folds(tmp_path / "folds.csv")
    assert (again.ids.tolist(), again.numbers.tolist()) == (folds.ids.tolist(), folds.numbers.tolist())


@pytest.mark.parametrize("content", [None, b"", b"GalaxyID,fold\n1,x\n", b"GalaxyID,fold\n1,1\n1,2\n", b"a,b\n1,1\n"])
def test_read_folds_explains(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "folds.csv").write_bytes(content)
    with pytest.raises(DataFault, match="Expected the folds of a cross-validation, got"):
        read_folds(tmp_path / "folds.csv")
    for last in (3, 0, 9 * 10**18):  # none of which is counted up to
        (tmp_path / "folds.csv").write_text(f"GalaxyID,fold\n1,1\n2,{last}\n")
        with pytest.raises(DataFault, match="got other ids or folds"):
            read_folds(tmp_path / "folds.csv")
