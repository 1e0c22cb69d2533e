"""Whether an implementation can run on a device, and if not, why."""

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from .checks import require, require_choice

MIN_CAPABILITY = (7, 5)
NO_TRITON = "Triton is not installed (it exists for Linux only)"


def unavailable(impl: str, device: torch.device | str) -> str | None:
    """Why `impl` ("torch", "compile" or "triton") cannot run on `device`; None if it can.

    Raises:
        ValueError: another name.
    """
    reasons = {"torch": lambda _: None, "compile": _compile_reason, "triton": _triton_reason}
    require_choice(impl, reasons, "impl")
    return reasons[impl](torch.device(device))


@functools.cache
def require_triton(device: torch.device) -> None:
    """Raise ValueError unless Triton kernels can run on `device`."""
    reason = _triton_reason(device)
    require(reason is None, f"what runs on {device}", "'triton'", "impl", f"choose 'torch' or 'compile': {reason}")


def compiler_reason() -> str | None:
    """Why Triton's launchers and torch.compile's CPU code cannot be built here; None if they can."""
    if compiler() is None:
        return "no C compiler was found (install gcc or clang, or set CC)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python's headers were not found (install python3-dev)"
    return None


def compiler() -> str | None:
    """The C compiler that Triton and torch.compile would call: $CC, else gcc or clang from the PATH, else cc."""
    names = (os.environ.get("CC"), "gcc", "clang", "cc")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _compile_reason(device: torch.device) -> str | None:
    if device.type == "mps":
        return "torch.compile for MPS is not supported here"
    return (_gpu_reason(device) if device.type == "cuda" else None) or compiler_reason()


def _triton_reason(device: torch.device) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return NO_TRITON
    if is_interpreted():
        return None
    if device.type != "cuda":
        return f"Triton kernels need a CUDA GPU, and the device is {device.type}"
    return _gpu_reason(device) or compiler_reason()


def _gpu_reason(device: torch.device) -> str | None:
    """Why Triton, and torch.compile through it, cannot run on a CUDA GPU."""
    if importlib.util.find_spec("triton") is None:
        return NO_TRITON
    if torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        major, minor = torch.cuda.get_device_capability(device)
        return f"the GPU has compute capability {major}.{minor}, below 7.5"
    return None


@functools.cache
def is_interpreted() -> bool:
    """Whether `triton.jit` gives interpreted functions (TRITON_INTERPRET=1), which run on any device."""
    import triton
    from triton.runtime.interpreter import InterpretedFunction

    return isinstance(triton.jit(_empty_kernel), InterpretedFunction)


def _empty_kernel() -> None:
    """A kernel for `is_interpreted` to decorate."""
