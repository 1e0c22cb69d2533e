"""What every kernel test relies on: poisoned memory, and both implementations."""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory is NaN: what a kernel leaves unwritten is found."""
    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, _poisoned(getattr(torch, name)))


def _poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(make)
    def filled(*args, **kwargs) -> Tensor:
        tensor = make(*args, **kwargs)
        return tensor.fill_(math.nan) if tensor.is_floating_point() else tensor

    return filled


@pytest.fixture(params=["torch", "triton"])
def impl(request: pytest.FixtureRequest) -> str:
    return request.param


class CountingKernel:
    """Stands for a Triton kernel in its module and notes each launch."""

    def __init__(self, name: str, kernel, noted: list[tuple[str, tuple[int, ...]]]) -> None:
        self.name, self.kernel, self.noted = name, kernel, noted

    def __getitem__(self, grid: tuple[int, ...]):
        self.noted.append((self.name, grid))
        return self.kernel[grid]


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch):
    """launches(module) -> [(kernel, grid), ...] so far, of whatever the module launches by a name `*_kernel`."""

    def count(module) -> list[tuple[str, tuple[int, ...]]]:
        noted = []
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            monkeypatch.setattr(module, name, CountingKernel(name, getattr(module, name), noted))
        return noted

    return count
