"""unavailable: the reason is told before anything is tried."""

import importlib.util
import shutil
import sysconfig

import pytest
import torch

from galaxy_triton.kernels import AUGMENT_IMPLEMENTATIONS, SIGMOID_IMPLEMENTATIONS, availability, unavailable

CPU, MPS = torch.device("cpu"), torch.device("mps")


def test_every_implementation_is_known() -> None:
    assert set(AUGMENT_IMPLEMENTATIONS) == set(SIGMOID_IMPLEMENTATIONS) == {"torch", "compile", "triton"}
    for name in AUGMENT_IMPLEMENTATIONS:
        unavailable(name, CPU)


def test_unavailable_torch(device: torch.device) -> None:
    assert unavailable("torch", device) is None


def test_unavailable_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_interpreted", lambda: False)
    assert unavailable("triton", CPU) == "Triton kernels need a CUDA GPU, and the device is cpu"
    assert "MPS" in unavailable("compile", MPS)


def test_unavailable_on_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_interpreted", lambda: False)
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
