"""galaxy_triton.kernels.augment, by each implementation."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from bench.kernels.scene import Fill, Scene
from galaxy_triton.kernels import AugmentDraw, AugmentParams, augment, sample

EPOCHS = 16  # that calls go through in turn, so that the same galaxies get other views


def torch_reference(scene: Scene) -> Fill:
    return _drawing(scene, "torch")


def compiled_reference(scene: Scene) -> Fill:
    return _drawing(scene, "compile")


def triton(scene: Scene) -> Fill:
    return _drawing(scene, "triton")


def triton_given(scene: Scene) -> Fill:
    """Parameters that the torch twin drew before: what the launch costs without drawing."""
    places = torch.arange(scene.batch, device=scene.device)
    draws = (AugmentDraw(_scalar(scene, 1), epoch, places, scene.ranges) for epoch in _epochs(scene))
    given = itertools.cycle(
        [sample(draw, side=scene.side, size=scene.size) for draw in itertools.islice(draws, EPOCHS)]
    )
    return lambda index: _views(scene, index, next(given), "triton")


def _drawing(scene: Scene, impl: str) -> Fill:
    seed, epochs = _scalar(scene, 1), _epochs(scene)
    return lambda index: _views(scene, index, AugmentDraw(seed, next(epochs), index, scene.ranges), impl)


def _views(scene: Scene, index: Tensor, views: AugmentParams | AugmentDraw, impl: str) -> Tensor:
    return augment(scene.pixels, index, views, size=scene.size, dtype=scene.dtype, impl=impl)


def _epochs(scene: Scene) -> Iterator[Tensor]:
    """Made once: a number that changes on the device would be a launch of its own."""
    return itertools.cycle([_scalar(scene, epoch) for epoch in range(EPOCHS)])


def _scalar(scene: Scene, value: int) -> Tensor:
    return torch.tensor(value, device=scene.device)
