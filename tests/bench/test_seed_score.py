"""The measurement of why a network may score worse than the mean: what is put in, and its units."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.accuracy.seed_score import READINGS, TRAININGS, WORSE, AlteredLearner, config_of, predictions, rows_of
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.store import open_store
from galaxy_triton.model.backend import choose


def learner_of(name: str, tiny: dict[str, Any], mean: torch.Tensor) -> AlteredLearner:
    config = override(RECIPES["seed"], tiny)
    kind = type("Learner", (AlteredLearner,), {"training": TRAININGS[name]})
    found: AlteredLearner = kind(config, choose(override(config, {"run.norm": "layers"})), mean, 12, 4)
    return found


@pytest.mark.parametrize("name", TRAININGS)
def test_the_network_begins_as_its_row_says(name: str, tiny: dict[str, Any]) -> None:
    mean = torch.linspace(0.1, 0.9, 37)
    network, training = learner_of(name, tiny, mean).network, TRAININGS[name]
    begun = network.answers.bias.sigmoid()
    torch.testing.assert_close(begun, torch.full((37,), 0.5) if training.bias_at_half else mean)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == training.norm


def test_each_training_is_another() -> None:
    made = [(str(config_of(each, 1)), each.bias_at_half, each.norm) for each in TRAININGS.values()]
    assert len(set(made)) == len(TRAININGS)


def test_each_reading_asks_otherwise(tiny: dict[str, Any], sky: Any) -> None:
    """Of one network, whose running statistics are not those of any batch; asked twice, it is the same."""
    galaxies = load(open_store(sky.store), torch.device("cpu"), lambda done: None)
    learner = learner_of("the recipe", tiny, torch.full((37,), 0.3))
    rows, asked = torch.arange(44), {}
    for name, how in READINGS.items():
        torch.manual_seed(5)
        asked[name] = predictions(learner, galaxies, rows, how)
    torch.manual_seed(5)
    again = predictions(learner, galaxies, rows, READINGS["in evaluation"])
    assert torch.equal(again, asked["in evaluation"])
    names = list(asked)
    same = [(a, b) for a in names for b in names if a < b and torch.equal(asked[a], asked[b])]
    assert same == []


def test_rows_are_in_units_of_the_mean_answer(tmp_path: Path) -> None:
    """Twice its errors everywhere is a ratio of two without a spread; the write-up's ratio is told from it."""
    rng = np.random.default_rng(1)
    mean = rng.uniform(0.01, 0.1, 50)
    squares = dict.fromkeys(READINGS, 4 * mean) | {"dropout on": WORSE**2 * mean * rng.uniform(0.7, 1.3, 50)}
    np.savez(tmp_path / "a.npz", **squares, mean_answer=mean)
    rows = {row["asked"]: row for row in rows_of("the recipe", [tmp_path / "a.npz", tmp_path / "a.npz"])}
    assert rows["in evaluation"]["in_mean_answers"] == pytest.approx([2, 2, 2])
    assert rows["in evaluation"]["rmse"] == pytest.approx(2 * np.sqrt(mean.mean()))
    assert [name for name, row in rows.items() if row["reproduces"]] == ["dropout on"]
