"""unavailable: the reason is told before anything is tried."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
import torch

from galaxy_triton.kernels import (
    AUGMENT_IMPLEMENTATIONS,
    NORM_POOL_IMPLEMENTATIONS,
    SIGMOID_IMPLEMENTATIONS,
    TREE_IMPLEMENTATIONS,
    availability,
    unavailable,
)

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize(
    "known", [AUGMENT_IMPLEMENTATIONS, NORM_POOL_IMPLEMENTATIONS, SIGMOID_IMPLEMENTATIONS, TREE_IMPLEMENTATIONS]
)
def test_every_implementation_is_known(known: dict[str, object]) -> None:
    assert set(known) == {"torch", "compile", "triton"}
    for name in known:
        unavailable(name, CPU)


def test_unavailable_torch(device: torch.device) -> None:
    assert unavailable("torch", device) is None


def test_unavailable_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "is_interpreted", lambda: False)
    assert "CUDA" in unavailable("triton", CPU)
    assert "MPS" in unavailable("compile", MPS)


def test_unavailable_on_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "is_interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert "7.0" in unavailable("triton", torch.device("cuda"))


def test_unavailable_without_triton(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "not installed" in unavailable("triton", device)


def test_unavailable_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "C compiler" in unavailable("compile", CPU)


def test_unavailable_without_headers(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/cc")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "headers" in unavailable("compile", CPU)


CALLS = {
    "sigmoid": "sigmoid_mse(torch.zeros(2, 3), torch.zeros(2, 3))",
    "tree": "tree_mse(torch.zeros(2, 3), torch.zeros(2, 3), Tree((3,), (None,)))",
    "norm_pool": "norm_relu_pool(torch.zeros(2, 3, 4, 4), *(torch.zeros(3) for _ in range(4)))",
    "augment": "augment(torch.zeros(1, 4, 4, 4, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64),"
    " AugmentParams(torch.zeros(1, 2, 3)), size=2)",
}


def in_a_fresh_process(code: str, interpret: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRITON_INTERPRET": interpret}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.process
@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_run_says_why(name: str) -> None:
    """On a CPU, with the default implementation, where nothing is interpreted."""
    done = in_a_fresh_process(f"import torch\nfrom galaxy_triton.kernels import *\n{CALLS[name]}", interpret="0")
    assert "ValueError: Expected what runs on cpu, got 'triton' (impl): choose 'torch' or 'compile'" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("interpret", ["0", "1"])
def test_the_question_loads_no_family(interpret: str) -> None:
    code = """
import sys, torch
from galaxy_triton import kernels
print(kernels.unavailable("triton", torch.device("cpu")) is None)
print([name for name in sys.modules if name.startswith("galaxy_triton.kernels.") and "fused" in name])
"""
    done = in_a_fresh_process(code, interpret)
    assert done.stdout.split("\n")[:2] == [str(interpret == "1"), "[]"], done.stderr
