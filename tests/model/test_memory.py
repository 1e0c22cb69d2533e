"""Where the pixels lie by what is free."""

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override
from galaxy_triton.model.backend import choose
from galaxy_triton.model.memory import residence, step_bytes
from galaxy_triton.system.errors import DataFault, UsageFault

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "free", "name"),
    [
        ("auto", GPU, 150, "gpu"),
        ("auto", GPU, 149, "host"),
        ("auto", GPU, None, "gpu"),
        ("host", GPU, 10**9, "host"),
        ("gpu", GPU, 100, "gpu"),
        ("auto", CPU, 100, "host"),
        ("host", CPU, None, "host"),
    ],
)
def test_residence(asked: str, device: torch.device, free: int | None, name: str) -> None:
    """With 100 bytes of pixels and a step of 50 bytes."""
    assert residence(asked, device, 100, 50, free).name == name


@pytest.mark.parametrize(("asked", "device"), [("gpu", GPU), ("auto", CPU), ("host", CPU)])
def test_residence_without_room(asked: str, device: torch.device) -> None:
    with pytest.raises(DataFault, match=f"free memory on {device.type}"):
        residence(asked, device, 100, 50, 99)


def test_residence_without_a_gpu() -> None:
    with pytest.raises(UsageFault, match="--resident"):
        residence("gpu", CPU, 100, 50, None)


def test_step_bytes_falls_with_parts_and_processes() -> None:
    """Activations are those of a part; weights and moments do not depend on it."""
    backend = choose(override(SEED, {"run.device": "cpu"}))
    whole, half, quarter, shared = (
        step_bytes(override(SEED, {"run.accumulate": parts}), backend, processes)
        for parts, processes in ((1, 1), (2, 1), (4, 1), (1, 4))
    )
    assert quarter == shared
    assert whole - half == pytest.approx(2 * (half - quarter), rel=1e-6)
