"""What every kernel test relies on: poisoned memory, and both implementations."""

from collections.abc import Iterator

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
