"""What a sweep draws from: the default fits every recipe, a file is read as written, and faults are named."""

from pathlib import Path

import pytest

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.experiments.sweep_space import SPACE, check_space, line, read_space
from galaxy_triton.system.errors import UsageFault

TEXT = """
run.epochs = { low = 3, high = 9 }
optimiser.lr = { low = 1e-4, high = 1, log = true }
[network]
head = ["tree"]
dropout = [0, 0.5]
widths = [[8, 16], "24,48,96"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "space.toml"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_default_space_fits_every_recipe(recipe: str) -> None:
    check_space(SPACE, RECIPES[recipe])


def test_read_space(file: Path) -> None:
    file.write_text(TEXT)
    space = read_space(file)
    assert space == {
        "run.epochs": {"low": 3, "high": 9, "log": False},
        "optimiser.lr": {"low": 1e-4, "high": 1, "log": True},
        "network.head": ["tree"],
        "network.dropout": [0, 0.5],
        "network.widths": ["8,16", "24,48,96"],
    }
    check_space(space, SEED)


def test_line() -> None:
    assert line("optimiser.lr", SPACE["optimiser.lr"]) == "optimiser.lr from 0.0005 to 0.02, by its logarithm"
    assert line("network.head", SPACE["network.head"]) == "network.head of sigmoid, tree"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected fields to draw, got none"),
        ("optimiser = 1", "Expected optimiser a section of fields, got 1"),
        *(
            (f"optimiser.lr = {part}", r"Expected optimiser.lr as \{ low, high, log \}")
            for part in (
                "1e-3",
                "[]",
                "[{ low = 1, high = 2 }]",
                "{ low = 1e-3 }",
                "{ low = 1, high = 2, step = 1 }",
                "{ low = 'a', high = 2 }",
                "{ low = 1, high = 2, log = 1 }",
                "{ low = 2, high = 2 }",
                "{ low = nan, high = 2 }",
                "{ low = 0, high = 2, log = true }",
                "{ low = 1, high = inf }",
            )
        ),
        ("optimiser.lr = { low = 0, high = 2 }", "Expected optimiser.lr above 0, got 0.0"),
        ("optimiser.fast = [1]", "Expected a configuration field, got 'optimiser.fast'"),
        ("run.epochs = { low = 1.5, high = 4.0 }", "Expected run.epochs of type int, got 1.5"),
        ("run.seed = [1, 2]", "Expected a field to draw in augmentation, network, optimiser, .* got 'run.seed'"),
    ],
)
def test_a_fault_is_named(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(UsageFault, match=message):
        check_space(read_space(file), SEED)
