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


FAMILIES = [AUGMENT_IMPLEMENTATIONS, NORM_POOL_IMPLEMENTATIONS, SIGMOID_IMPLEMENTATIONS, TREE_IMPLEMENTATIONS]


def test_every_implementation_is_known(device: torch.device) -> None:
    for known in FAMILIES:
        assert set(known) == {"torch", "compile", "triton"}
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


ON_A_CPU = """
import sys
import torch
from galaxy_triton.kernels import *

assert "CUDA" in unavailable("triton", torch.device("cpu"))
assert not [name for name in sys.modules if name.startswith("galaxy_triton.kernels.") and "fused" in name]

two, three, image = torch.zeros(2, 3), torch.zeros(3), torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
for use in (
    lambda: sigmoid_mse(two, two),
    lambda: tree_mse(two, two, Tree((3,), (None,))),
    lambda: norm_relu_pool(torch.zeros(2, 3, 4, 4), three, three, three, three),
    lambda: augment(image, torch.zeros(1, dtype=torch.int64), AugmentParams(torch.zeros(1, 2, 3)), size=2),
):
    try:
        use()
    except ValueError as error:
        assert "Expected what runs on cpu, got 'triton' (impl): choose 'torch' or 'compile'" in str(error), error
    else:
        raise SystemExit("it ran")
"""


@pytest.mark.process
def test_what_cannot_run_says_why() -> None:
    """On a CPU, with the default implementation, where nothing is interpreted; to ask loads no family of kernels."""
    command, environment = [sys.executable, "-c", ON_A_CPU], {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
