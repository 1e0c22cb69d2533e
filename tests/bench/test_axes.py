"""The rows that measure a recipe's choices: each can be built, and differences are paired."""

from typing import Any

import numpy as np
import pytest
import torch

from bench.accuracy.axes import lower_by, table
from bench.accuracy.axes_page import difference
from bench.accuracy.axes_rows import BASE, ROWS, TABLES
from bench.peers.winner_colour import COMPONENT, SPREAD, tinted
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Augmentation
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.store import open_store
from galaxy_triton.model.views import ViewMaker


@pytest.mark.parametrize(("which", "name"), [(which, name) for which, table in TABLES.items() for name in table.rows])
def test_each_row_changes_the_start(which: str, name: str) -> None:
    start = override(RECIPES["best"], TABLES[which].start)
    row = TABLES[which].rows[name]
    assert (override(start, row.settings) != start) == bool(row.settings)


def test_lower_by_is_paired() -> None:
    """Two rows that differ by a constant factor on every galaxy: their own spread is no part of the interval."""
    start = np.random.default_rng(1).uniform(0.001, 0.1, (2, 50))
    value, low, high = lower_by(0.81 * start, start)
    root = np.sqrt(start.mean())
    assert value == pytest.approx(0.1 * root)
    assert 0 < low < value < high < 0.15 * root
    assert lower_by(start, start) == [0, 0, 0]


def test_table_reads_the_views_of_a_row(tmp_path: Any) -> None:
    squares = {f"views_{views}": np.full(3, views / 100) for views in (1, 4, 16, 64)}
    np.savez(tmp_path / "a.npz", **squares, cpu_seconds=5.0, made_by="this")
    rows = table({BASE: [tmp_path / "a.npz"], "4 views": [tmp_path / "a.npz"]}, ROWS)
    assert rows[BASE]["rmse"] == pytest.approx(0.4)
    assert rows["4 views"]["rmse"] == pytest.approx(0.2)
    assert rows[BASE]["lower_by"] is None
    assert rows["4 views"]["lower_by"] == pytest.approx([0.2, 0.2, 0.2])


@pytest.mark.parametrize(("interval", "bold"), [((0.001, 0.003), True), ((-0.001, 0.003), False), ((0, 0.003), False)])
def test_bold_is_an_interval_without_zero(interval: tuple[float, float], bold: bool) -> None:
    assert difference({"lower_by": [0.002, *interval]}).startswith("**") == bold


def test_tinted_adds_one_colour_to_each_view(sky: Any) -> None:
    galaxies = load(open_store(sky.store), torch.device("cpu"), lambda done: None)
    maker = ViewMaker(Augmentation(size=16))
    batch = batch_of(galaxies, torch.arange(8))
    seed, epoch = torch.tensor(1), torch.tensor(0)
    plain = maker.random(batch, seed, epoch, maker.empty(8, seed.device)).clone()
    torch.manual_seed(3)
    added = tinted(maker).random(batch, seed, epoch, maker.empty(8, seed.device)) - plain
    torch.manual_seed(3)
    factors = SPREAD * torch.randn(8, 1, 1, 1)
    inside = (plain > 0.05) & (plain < 0.95)
    wanted = (factors * torch.tensor(COMPONENT)[:, None, None]).expand_as(plain)
    torch.testing.assert_close(added[inside], wanted[inside], atol=1e-6, rtol=0)
    assert inside.any()
