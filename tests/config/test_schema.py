"""The recipes are what was asked for, a field takes no value that cannot be, the options are the kernels' names."""

import re
from dataclasses import FrozenInstanceError
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
    PRECISIONS,
    Augmentation,
    Config,
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

BAD: list[tuple[type, dict[str, Any], str]] = [
    (Preprocess, {"crop": 425}, "preprocess.crop from 1 to frame = 424, got 425"),
    (Preprocess, {"crop": 0}, "preprocess.crop from 1 to frame = 424, got 0"),
    (Preprocess, {"size": 0}, "preprocess.size from 1 to 4096, got 0"),
    (Preprocess, {"size": 4097}, "preprocess.size from 1 to 4096, got 4097"),
    (Augmentation, {"size": 0}, "augmentation.size at least 1, got 0"),
    (Augmentation, {"rotation": 180.1}, "augmentation.rotation degrees from 0 to 180, got 180.1"),
    (Augmentation, {"rotation": -1}, "augmentation.rotation degrees from 0 to 180, got -1"),
    (Augmentation, {"horizontal_flip": 1.1}, "augmentation.horizontal_flip from 0 to 1, got 1.1"),
    (Augmentation, {"vertical_flip": -0.1}, "augmentation.vertical_flip from 0 to 1, got -0.1"),
    (Augmentation, {"brightness": 2}, "augmentation.brightness from 0 to 1, got 2"),
    (Augmentation, {"contrast": float("nan")}, "augmentation.contrast from 0 to 1, got nan"),
    (Augmentation, {"saturation": -1}, "augmentation.saturation from 0 to 1, got -1"),
    (Augmentation, {"hue": 0.51}, "augmentation.hue turns from 0 to 0.5, got 0.51"),
    (Augmentation, {"zoom": 0.9}, "augmentation.zoom from 1 to 1.5 (there is no antialiasing), got 0.9"),
    (Augmentation, {"zoom": 1.6}, "augmentation.zoom from 1 to 1.5 (there is no antialiasing), got 1.6"),
    (Augmentation, {"shift": 0.6}, "augmentation.shift from 0 to 0.5, got 0.6"),
    (Augmentation, {"crop": "left"}, "augmentation.crop one of random, centre, got 'left'"),
    (Augmentation, {"border": "wrap"}, "augmentation.border one of zeros, reflect, got 'wrap'"),
    (Network, {"name": "vgg19"}, "network.name one of galaxy-vgg, vgg11, vgg16, resnet50, got 'vgg19'"),
    (Network, {"head": "softmax"}, "network.head one of sigmoid, tree, got 'softmax'"),
    (Network, {"widths": ()}, "network.widths positive widths, got ()"),
    (Network, {"widths": (8, 0)}, "network.widths positive widths, got (8, 0)"),
    (Network, {"convs": 3}, "network.convs 1 or 2, got 3"),
    (Network, {"hidden": -1}, "network.hidden at least 0, got -1"),
    (Network, {"dropout": 1.0}, "network.dropout from 0 to below 1, got 1.0"),
    (Optimiser, {"lr": 0.0}, "optimiser.lr above 0, got 0.0"),
    (Optimiser, {"weight_decay": -1}, "optimiser.weight_decay at least 0, got -1"),
    (Optimiser, {"warmup": 1}, "optimiser.warmup from 0 to below 1, got 1"),
    (Optimiser, {"clip": -1}, "optimiser.clip at least 0, got -1"),
    (Optimiser, {"average": 1}, "optimiser.average from 0 to below 1, got 1"),
    (Run, {"epochs": 0}, "run.epochs at least 1, got 0"),
    (Run, {"batch_size": 0}, "run.batch_size at least 1, got 0"),
    (Run, {"seed": 2**63}, "run.seed from 0 to 2^63 - 1, got 9223372036854775808"),
    (Run, {"seed": -1}, "run.seed from 0 to 2^63 - 1, got -1"),
    (Run, {"validation": 1.0}, "run.validation from 0 to below 1, got 1.0"),
    (Run, {"repeat": 0}, "run.repeat at least 1, got 0"),
    (Run, {"accumulate": 0}, "run.accumulate at least 1, got 0"),
    (Run, {"views": 0}, "run.views at least 1, got 0"),
    (Run, {"device": "tpu"}, "run.device one of auto, cuda, mps, cpu, got 'tpu'"),
    (Run, {"precision": "fp8"}, "run.precision one of auto, fp32, fp16, bf16, got 'fp8'"),
    (Run, {"augment": "cuda"}, "run.augment one of auto, torch, compile, triton, got 'cuda'"),
    (Run, {"loss": "eager"}, "run.loss one of auto, torch, compile, triton, got 'eager'"),
    (Run, {"body": "triton"}, "run.body one of auto, eager, compile, graph, autotune, got 'triton'"),
    (Config, {"augmentation": Augmentation(size=161)}, "augmentation.size at most preprocess.size = 160, got 161"),
    (Config, {"augmentation": Augmentation(size=31)}, "augmentation.size at least 32 for this galaxy-vgg, got 31"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD, ids=[message for _, _, message in BAD])
def test_a_bad_field_is_explained(kind: type, fields: dict[str, Any], message: str) -> None:
    text = f"Expected {message} (the configuration): change that field"
    with pytest.raises(UsageFault, match=f"^{re.escape(text)}$"):
        kind(**fields)


def test_seed_recipe() -> None:
    """The seed document: resize 160, rotation 0-360, both flips, crop 128, jitter, five blocks, dropout, sigmoid."""
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


def test_best_recipe() -> None:
    """Centred views of the middle of each image, five blocks of one convolution, at least 24 epochs."""
    best = RECIPES["best"]
    assert best.recipe == "best"
    assert (best.augmentation.crop, best.augmentation.rotation) == ("centre", 180.0)
    assert (len(best.network.widths), best.network.convs) == (5, 1)
    assert best.run.epochs >= 24
    assert best.preprocess.crop < best.preprocess.frame


def test_recipes_name_themselves() -> None:
    assert {name: config.recipe for name, config in RECIPES.items()} == {name: name for name in RECIPES}
    assert SEED is RECIPES["seed"]


def test_recipes_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPES["seed"].run.epochs = 3  # type: ignore[misc]


def test_options_are_the_names_of_what_there_is() -> None:
    assert ("auto", *kernels.AUGMENT_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", *kernels.SIGMOID_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", *kernels.TREE_IMPLEMENTATIONS) == IMPLEMENTATIONS
    assert ("auto", LAYERS, *kernels.NORM_POOL_IMPLEMENTATIONS) == NORMS
    assert tuple(head.HEADS) == HEADS
    assert tuple(model.MODELS) == MODELS
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
