"""unavailable: the reason is told before anything is tried."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

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


USES = """
import sys, torch
from galaxy_triton.kernels import *

two, three, image = torch.zeros(2, 3), torch.zeros(3), torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
uses = (
    lambda impl: sigmoid_mse(two, two, impl=impl),
    lambda impl: tree_mse(two, two, Tree((3,), (None,)), impl=impl),
    lambda impl: norm_relu_pool(torch.zeros(2, 3, 4, 4), three, three, three, three, impl=impl),
    lambda impl: augment(image, torch.tensor([0]), AugmentParams(torch.zeros(1, 2, 3)), size=2, impl=impl),
)

def check(expected, words):
    for use in uses:
        use("torch")
        try:
            use("triton")
        except expected as error:
            assert words in str(error), error
        else:
            raise SystemExit("it ran")
"""
NOT_INTERPRETED = f"""{USES}
assert "CUDA" in unavailable("triton", torch.device("cpu"))
assert not [name for name in sys.modules if name.startswith("galaxy_triton.kernels.") and "fused" in name]
check(ValueError, "Expected what runs on cpu, got 'triton' (impl): choose 'torch' or 'compile'")
"""
WITHOUT_TRITON = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Blocked())
{USES}
check(ImportError, "triton")
"""


@pytest.mark.process
@pytest.mark.parametrize("code", [NOT_INTERPRETED, WITHOUT_TRITON], ids=["not interpreted", "without Triton"])
def test_an_unavailable_implementation_says_why(code: str, tmp_path: Path) -> None:
    """On a CPU, away from the clone; to ask loads no family of kernels, and impl="torch" needs no Triton."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
