"""Fixtures of the kernel tests: poisoned memory, both implementations, and the launches of a module."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fresh memory is NaN, as torch's deterministic mode fills it: what a kernel leaves unwritten is found."""
    # cuBLAS, which torchvision's rotation calls, is deterministic only with a workspace of fixed size.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["torch", "triton"])
def impl(request: pytest.FixtureRequest) -> str:
    return request.param


class Launch(NamedTuple):
    """Of a kernel: its name, its grid, and what was given by name, constants and compiler options."""

    kernel: str
    grid: tuple[int, ...]
    constants: dict[str, object]


class CountingKernel:
    """Stands for a Triton kernel in its module and notes each launch."""

    def __init__(self, name: str, kernel, noted: list[Launch]) -> None:
        self.name, self.kernel, self.noted = name, kernel, noted

    def __getitem__(self, grid: tuple[int, ...]):
        def launch(*given, **constants) -> None:
            self.noted.append(Launch(self.name, grid, constants))
            self.kernel[grid](*given, **constants)

        return launch


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch):
    """launches(module) -> [Launch, ...] so far, of whatever the module launches by a name `*_kernel`."""

    def count(module) -> list[Launch]:
        noted = []
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            monkeypatch.setattr(module, name, CountingKernel(name, getattr(module, name), noted))
        return noted

    return count
