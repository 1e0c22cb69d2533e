"""Recipes, the ranges of fields, and the names that options offer."""

import re
from typing import Any

import pytest

from galaxy_triton import kernels
from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import (
    BODIES,
    BORDERS,
    DEVICES,
    HEADS,
    IMPLEMENTATIONS,
    MODELS,
    NORMS,
    OPTIONS,
    PRECISIONS,
    Augmentation,
    Config,
    Labels,
    Network,
    Optimiser,
    Preprocess,
    Run,
    smallest_view,
)
from galaxy_triton.kernels import augmentation
from galaxy_triton.model import backend, head
from galaxy_triton.model import body as model
from galaxy_triton.model.body import LAYERS
from galaxy_triton.model.device import DTYPES, PRECISIONS_OF
from galaxy_triton.system.errors import UsageFault

# Of a field with each kind of bound the values just inside its range, and those just outside.
LIMITS: dict[tuple[type, str], tuple[list[Any], list[Any]]] = {
    (Preprocess, "crop"): ([1, 424], [0, 425]),
    (Preprocess, "size"): ([1, 4096], [0, 4097]),
    (Augmentation, "rotation"): ([0, 180], [-1, 180.1]),
    (Augmentation, "contrast"): ([0, 1], [-0.1, 2, float("nan")]),
    (Augmentation, "hue"): ([0, 0.5], [-0.1, 0.51]),
    (Augmentation, "zoom"): ([1, 1.5], [0.9, 1.6]),
    (Augmentation, "crop"): (["random", "centre"], ["left"]),
    (Labels, "stretch"): ([1, 2], [0.9, 2.1]),
    (Network, "widths"): ([(1, 65536)], [(), (8, 0), (65537,)]),
    (Network, "dropout"): ([0.0, 0.99], [-0.1, 1.0]),
    (Optimiser, "lr"): ([1e-9], [0.0, float("nan")]),
    (Optimiser, "clip"): ([0], [-1]),
    (Run, "seed"): ([0, 2**63 - 1], [-1, 2**63]),
}


@pytest.mark.parametrize(("kind", "name"), LIMITS, ids=lambda value: getattr(value, "__name__", value))
def test_a_field_takes_its_range_alone(kind: type, name: str) -> None:
    inside, outside = LIMITS[kind, name]
    for value in inside:
        assert getattr(kind(**{name: value}), name) == value
    for value in outside:
        message = rf"{kind.__name__.lower()}\.{name} .*got {re.escape(repr(value))} .*change it"
        with pytest.raises(UsageFault, match=message):
            kind(**{name: value})


@pytest.mark.parametrize(("size", "limit"), [(161, "160"), (31, "32")])
def test_views_fit_the_store_and_the_network(size: int, limit: str) -> None:
    with pytest.raises(UsageFault, match=rf"augmentation\.size .*{limit}.*got {size}"):
        Config(augmentation=Augmentation(size=size))


def test_every_field_is_described() -> None:
    assert all(option.text for option in OPTIONS.values())
    ranges = {"network.dropout": "from 0 to below 1", "optimiser.lr": "above 0", "optimiser.clip": "at least 0"}
    for name, text in {**ranges, "run.sync_norm": ""}.items():
        assert OPTIONS[name].range == text


def test_seed_recipe() -> None:
    """The write-up: resize 160, rotation 0-360, both flips, crop 128, jitter, five blocks, dropout, sigmoid."""
    seed = RECIPES["seed"]
    views, network = seed.augmentation, seed.network
    assert seed.preprocess == Preprocess(frame=424, crop=424, size=160)
    assert (views.size, views.crop, views.rotation) == (128, "random", 180.0)
    assert (views.horizontal_flip, views.vertical_flip) == (0.5, 0.5)
    assert (views.brightness, views.contrast, views.saturation, views.hue) == (0.1, 0.1, 0.1, 0.05)
    assert (views.zoom, views.shift, views.border) == (1.0, 0.0, "zeros")
    assert (network.name, network.widths, network.convs) == ("galaxy-vgg", (64, 128, 256, 512, 512), 2)
    assert (network.dropout, network.head) == (0.5, "sigmoid")
    assert seed.run.precision == "auto"


def test_recipes_name_themselves() -> None:
    assert {name: config.recipe for name, config in RECIPES.items()} == {name: name for name in RECIPES}
    assert SEED is RECIPES["seed"]


def test_choices_are_the_names_of_implementations() -> None:
    assert ("auto", *kernels.AUGMENT_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", *kernels.SIGMOID_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", *kernels.TREE_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", LAYERS, *kernels.NORM_POOL_IMPLEMENTATIONS) == NORMS
    assert tuple(head.HEADS) == HEADS
    assert ("galaxy-vgg", *model.TORCHVISION) == MODELS
    assert ("auto", *backend.BODIES) == BODIES
    assert ("auto", *DTYPES) == PRECISIONS
    assert ("auto", *PRECISIONS_OF) == DEVICES
    assert augmentation.BORDERS == BORDERS


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (Network(), 32),
        (Network(widths=(8,)), 2),
        (Network(name="vgg11"), 32),
        (Network(name="vgg16"), 32),
        (Network(name="resnet50"), 33),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_smallest_view(network: Network, side: int) -> None:
    assert smallest_view(network) == side
