"""Configurations as text and back, and a message for whatever cannot be one."""

import dataclasses
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import Augmentation, Config, Labels, Network, Optimiser, Preprocess, Run
from galaxy_triton.config.toml import from_dict, from_toml, override, read_toml, to_dict, to_toml
from galaxy_triton.system.errors import UsageFault

# Every field away from both recipes, floats that need all their digits, sizes below the recipes'.
ODD = Config(
    recipe="best",
    preprocess=Preprocess(frame=99, crop=77, size=40),
    augmentation=Augmentation(
        size=33, rotation=1 / 3, horizontal_flip=0.1, vertical_flip=0.7, zoom=1.1, shift=1e-7, crop="random"
    ),
    labels=Labels(stretch=1.25),
    network=Network(name="galaxy-vgg", widths=(7,), convs=2, hidden=3, dropout=0.3, head="tree"),
    optimiser=Optimiser(lr=1e-5, weight_decay=0.0, warmup=0.0, clip=2.5, average=0.999),
    run=Run(epochs=1, batch_size=3, seed=2**63 - 1, validation=0.0, views=5, device="cpu", deterministic=True),
)


@pytest.mark.parametrize("config", [*RECIPES.values(), ODD], ids=[*RECIPES, "odd"])
def test_to_toml_and_back(config: Config, tmp_path: Path) -> None:
    text = to_toml(config, {"device": "cpu", "augment": "torch"})
    assert from_toml(text, "here") == config
    (tmp_path / "config.toml").write_text(text)
    assert read_toml(tmp_path / "config.toml") == config
    assert from_dict(to_dict(config), "here") == config


def test_to_toml_says_everything() -> None:
    values = tomllib.loads(to_toml(ODD, {"device": "cpu"}))
    fields = dataclasses.asdict(ODD)
    fields["network"]["widths"] = [7]
    assert values == {"version": 2, **fields, "chosen": {"device": "cpu"}}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optimiser.lr", "3e-4", 3e-4),
        ("optimiser.lr", 1, 1.0),
        ("run.epochs", "7", 7),
        ("run.epochs", 7.0, 7),
        ("run.deterministic", "True", True),
        ("run.deterministic", False, False),
        ("network.widths", "8,16", (8, 16)),
        ("network.widths", "[8, 16]", (8, 16)),
        ("network.widths", [8, 16], (8, 16)),
        ("network.head", "tree", "tree"),
    ],
)
def test_override_reads_a_field(key: str, text: Any, value: Any) -> None:
    section, name = key.split(".")
    got = override(SEED, {key: text})
    field = getattr(getattr(got, section), name)
    assert (field, type(field)) == (value, type(value))
    rest = replace(got, **{section: replace(getattr(got, section), **{name: getattr(getattr(SEED, section), name)})})
    assert rest == SEED


@pytest.mark.parametrize("order", [1, -1])
def test_override_takes_fields_in_any_order(order: int) -> None:
    """Each change alone would pass through a view larger than the stored image."""
    fields = [("preprocess.size", 64), ("augmentation.size", 48), ("run.epochs", 2)][::order]
    got = override(SEED, dict(fields))
    assert (got.preprocess.size, got.augmentation.size, got.run.epochs) == (64, 48, 2)


def test_override_of_nothing() -> None:
    assert override(ODD, {}) == ODD


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"optimizer.lr": 1},
            "Expected a configuration field, got 'optimizer.lr' (--set or the TOML file): use one of",
        ),
        ({"lr": 1}, "Expected a configuration field, got 'lr'"),
        ({"run": {"epochs": 1}}, "Expected a configuration field, got 'run'"),
        ({"": ""}, "Expected a configuration field, got ''"),
        ({"recipe": "best"}, "Expected a configuration field, got 'recipe'"),
        ({"run.epochs": "two"}, "Expected run.epochs of type int, got 'two' (--set or the TOML file): mend it"),
        ({"run.epochs": 2.5}, "Expected run.epochs of type int, got 2.5"),
        ({"run.epochs": "2.0"}, "Expected run.epochs of type int, got '2.0'"),
        ({"run.epochs": True}, "Expected run.epochs of type int, got True"),
        ({"run.epochs": None}, "Expected run.epochs of type int, got None"),
        ({"run.epochs": float("inf")}, "Expected run.epochs of type int, got inf"),
        ({"run.epochs": [1]}, "Expected run.epochs of type int, got [1]"),
        ({"optimiser.lr": ""}, "Expected optimiser.lr of type float, got ''"),
        ({"optimiser.lr": 10**309}, "Expected optimiser.lr of type float, got 1000"),
        ({"run.deterministic": "yes"}, "Expected run.deterministic of type bool, got 'yes'"),
        ({"run.deterministic": 1}, "Expected run.deterministic of type bool, got 1"),
        ({"network.widths": "8,wide"}, "Expected network.widths of type tuple[int, ...], got '8,wide'"),
        ({"network.widths": 8}, "Expected network.widths of type tuple[int, ...], got 8"),
        ({"network.widths": [8, 1.5]}, "Expected network.widths of type tuple[int, ...], got [8, 1.5]"),
        ({"network.widths": [True]}, "Expected network.widths of type tuple[int, ...], got [True]"),
        ({"network.widths": []}, "Expected network.widths positive widths, got ()"),
        ({"network.name": 5}, "Expected network.name one of galaxy-vgg, vgg11, vgg16, resnet50, got '5'"),
        ({"optimiser.lr": "nan"}, "Expected optimiser.lr above 0, got nan"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_override_explains(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageFault, match="^" + re.escape(message)):
        override(SEED, fields)


def test_from_toml_reads_the_version_before() -> None:
    """Which had no stretched labels, whatever its recipe has now."""
    base = replace(RECIPES["seed"], labels=Labels(1.3))
    assert from_toml("version = 1", "here", base).labels.stretch == 1
    assert from_toml("version = 2", "here", base).labels.stretch == 1.3
    assert from_toml("version = 1\n[labels]\nstretch = 1.2", "here", base).labels.stretch == 1.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 3", "Expected format version 1 to 2, got 3 (c.toml): use the release that wrote it"),
        ("version = [1]", "Expected format version 1 to 2, got [1]"),
        ("recipe = 'worst'", "Expected recipe one of demo, seed, best, got 'worst'"),
        ("recipe = ['best']", "Expected recipe one of demo, seed, best, got ['best']"),
        ("run = 3", "Expected run a section of fields, got 3"),
        ("[wings]", "Expected section one of preprocess, augmentation, labels, network, optimiser, run, got 'wings'"),
        ("[run.deep]\nepochs = 3", "Expected a configuration field, got 'run.deep'"),
        ("[run]\nepochs = 0", "Expected run.epochs at least 1, got 0"),
        ("[run\n", "Expected a TOML file, got"),
    ],
)
def test_from_toml_explains(text: str, message: str) -> None:
    with pytest.raises(UsageFault, match="^" + re.escape(message)):
        from_toml(text, "c.toml")


def test_from_toml_starts_at_its_recipe() -> None:
    assert from_toml("recipe = 'best'\n[run]\nepochs = 5", "here") == override(RECIPES["best"], {"run.epochs": 5})
    assert from_toml("[run]\nepochs = 5", "here", RECIPES["best"]) == override(RECIPES["best"], {"run.epochs": 5})


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_read_toml_explains(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(UsageFault, match=r"^Expected a TOML file, got .*c\.toml\)"):
        read_toml(tmp_path / "c.toml")
