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
from galaxy_triton.config.toml import VERSION, from_dict, override, read_toml, to_dict, to_toml
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
    (tmp_path / "config.toml").write_text(to_toml(config, {"device": "cpu", "augment": "torch"}))
    assert read_toml(tmp_path / "config.toml") == config
    assert from_dict(to_dict(config), "here") == config


def from_toml(text: str, base: Config = SEED) -> Config:
    return from_dict(tomllib.loads(text), "here", base)


def test_to_toml_says_everything() -> None:
    values = tomllib.loads(to_toml(ODD, {"device": "cpu"}))
    fields = dataclasses.asdict(ODD)
    fields["network"]["widths"] = [7]
    assert values == {"version": VERSION, **fields, "chosen": {"device": "cpu"}}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optimiser.lr", "3e-4", 3e-4),
        ("optimiser.lr", 1, 1.0),
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


def test_override_changes_all_fields_at_once() -> None:
    """Each change alone would pass through a view larger than the stored image."""
    got = override(SEED, {"preprocess.size": 64, "augmentation.size": 48})
    assert (got.preprocess.size, got.augmentation.size) == (64, 48)


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("optimizer.lr", "optimiser.lr"),
        ("lr", "optimiser.lr"),
        ("run.epoch", "run.epochs"),
        ("size", "preprocess.size or augmentation.size"),
        ("recipe", "config.toml"),
    ],
)
def test_an_unknown_field_is_answered_by_the_closest(key: str, suggestion: str) -> None:
    with pytest.raises(UsageFault, match=f"got {key!r} .*{suggestion}"):
        override(SEED, {key: 1})


@pytest.mark.parametrize(
    ("key", "kind", "values"),
    [
        ("run.epochs", "int", ["two", 2.5, "2.0", True, None, float("inf"), [1]]),
        ("optimiser.lr", "float", ["", 10**309]),
        ("run.deterministic", "bool", ["yes", 1]),
        ("network.widths", "tuple[int, ...]", ["8,wide", 8, [8, 1.5], [True]]),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, kind: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageFault, match=re.escape(f"{key} of type {kind}, got {value!r}")):
            override(SEED, {key: value})


def test_from_dict_reads_the_version_before() -> None:
    """It had no stretched labels, whatever its recipe has now."""
    base = replace(RECIPES["seed"], labels=Labels(1.3))
    assert from_toml("version = 1", base).labels.stretch == 1
    assert from_toml("version = 2", base).labels.stretch == 1.3
    assert from_toml("version = 1\n[labels]\nstretch = 1.2", base).labels.stretch == 1.2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = [1]", ("version", "[1]")),
        ("recipe = ['best']", ("demo, seed, best", "['best']")),
        ("run = 3", ("section", "3")),
        ("[wings]", ("section", "'wings'")),
        ("[run.deep]\nepochs = 3", ("'run.deep'", "c.toml")),
        ("[run]\nepochs = 0", ("run.epochs", "0")),
        ("[run\n", ("TOML", "line 1", "c.toml")),
        (b"\xff\xfe", ("TOML", "c.toml")),
        (None, ("TOML", "c.toml")),
    ],
)
def test_read_toml_explains(text: str | bytes | None, words: tuple[str, ...], tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "c.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageFault) as caught:
        read_toml(tmp_path / "c.toml")
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_starts_at_its_recipe() -> None:
    want = override(RECIPES["best"], {"run.epochs": 5})
    assert from_toml("recipe = 'best'\n[run]\nepochs = 5") == want
    assert from_toml("[run]\nepochs = 5", RECIPES["best"]) == want
