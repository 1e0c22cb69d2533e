"""The device, its precision and its memory, and settings of torch and the system."""

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from galaxy_triton.system.errors import UsageFault, expected

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PRECISIONS_OF = {"cuda": ("fp32", "fp16", "bf16"), "mps": ("fp32",), "cpu": ("fp32", "bf16")}
REQUESTED = "requested"  # the reason for a choice that the user named

# Parameters of glibc's malloc.h, and the largest block that it may keep, bytes; older releases allow 32 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BLOCK, OLD_KEPT_BLOCK = 2**30, 2**25


class Choice(NamedTuple):
    """A chosen name, and the reason."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name:<8} ({self.why})"


def be_deterministic() -> None:
    """Make torch deterministic. Call this before any computation: cuBLAS reads its setting when first used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def keep_freed_memory(device: torch.device) -> None:
    """On the CPU with glibc, keep the memory of freed tensors for later ones.

    glibc returns large blocks to the system at once, and a training step then waits while the system clears some ten
    thousand pages: a fifth of its time where it was measured.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if libc is None or not hasattr(libc, "mallopt"):
        return
    for largest in (KEPT_BLOCK, OLD_KEPT_BLOCK):
        if libc.mallopt(M_MMAP_THRESHOLD, largest):
            break
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BLOCK)


def free_memory(device: torch.device) -> int | None:
    """Free bytes on the device, or None if the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def peak_memory(device: torch.device) -> int:
    """Peak bytes so far: allocated on a GPU, resident in this process elsewhere; 0 on Windows, which does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def find_device(name: str) -> tuple[torch.device, str]:
    """The device of this name or, for "auto", the first of CUDA, MPS and CPU; and the reason, with a GPU's model.

    Raises:
        UsageFault: this machine has no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    have = [each for each, here in present.items() if here]
    if name == "auto":
        missing = [each for each in present if each not in have]
        device, why = torch.device(have[0]), f"default without {' and '.join(missing)}" if missing else "default"
    elif name in have:
        device, why = torch.device(name), REQUESTED
    else:
        got = f"one with {', '.join(have)}"
        raise UsageFault(expected(f"a machine with {name}", got, "--device", "use --device auto"))
    return device, f"{torch.cuda.get_device_name(device)}, {why}" if device.type == "cuda" else why


def find_precision(name: str, device: torch.device) -> Choice:
    """The precision of this name or, for "auto", the best of the device.

    Raises:
        UsageFault: the device has no such precision.
    """
    if name != "auto":
        if name not in PRECISIONS_OF[device.type]:
            have = " or ".join(PRECISIONS_OF[device.type])
            raise UsageFault(expected(f"{have} on {device.type}", name, "--precision", "use --precision auto"))
        return Choice(name, REQUESTED)
    if device.type != "cuda":
        return Choice("fp32", f"default on {device.type.upper()}")
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return Choice("bf16", f"supported by compute capability {major}.{minor}")
    return Choice("fp16", f"compute capability {major}.{minor} has no bf16; gradients are scaled")
