"""One timer for every suite, and on what the times were measured."""

import importlib.metadata
from collections.abc import Callable

import pytest
import torch

from galaxy_triton.kernels import unavailable


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def timed(benchmark, device: torch.device) -> Callable[..., None]:
    """timed(call, fresh, images): wall time of single calls, each with inputs from `fresh`, the device awaited."""

    def run(call: Callable[..., object], fresh: Callable[[], tuple], images: int) -> None:
        def awaited(*inputs: object) -> None:
            call(*inputs)
            if device.type == "cuda":
                torch.cuda.synchronize()

        awaited(*fresh())  # compiles outside the clock
        benchmark.pedantic(awaited, setup=lambda: (fresh(), {}), rounds=20, warmup_rounds=2)
        benchmark.extra_info["images_per_s"] = images / benchmark.stats.stats.median

    return run


@pytest.fixture
def runnable(device: torch.device) -> Callable[[str], None]:
    """Skip what cannot run here, or would run without meaning."""

    def check(impl: str) -> None:
        if impl == "triton" and device.type == "cpu":
            pytest.skip("needs a GPU: the interpreter's time means nothing")
        reason = unavailable(impl, device)
        if reason:
            pytest.skip(reason)

    return check


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:
    for package in ("torch", "torchvision", "triton", "numpy"):
        machine_info[package] = importlib.metadata.version(package)
    machine_info["threads"] = torch.get_num_threads()
    machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine_info["cuda"] = torch.version.cuda
