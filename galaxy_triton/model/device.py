"""The device, its precision, its memory, and how torch and the system are set up for it."""

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from galaxy_triton.system.errors import UsageFault, expected

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


PRECISIONS_OF = {"cuda": ("fp32", "fp16", "bf16"), "mps": ("fp32",), "cpu": ("fp32", "bf16")}


# Of glibc's malloc.h, and the largest blocks in bytes that it keeps: older releases allow 32 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


KEPT_BLOCK, OLD_KEPT_BLOCK = 2**30, 2**25


class Choice(NamedTuple):
    """A name that was chosen, and why."""

    name: str
    why: str


def be_deterministic() -> None:
    """Ask torch for the same bits every time; before anything is computed, as cuBLAS reads its part when first used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def keep_freed_memory(device: torch.device) -> None:
    """On the CPU, let this process keep what tensors free for those to come.

    glibc gives large blocks back to the system at once, and a step of training then waits for some ten thousand pages
    to be cleared: a fifth of its time where it was measured. Other systems' allocators stay as they are.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if libc is None or not hasattr(libc, "mallopt"):
        return
    for largest in (KEPT_BLOCK, OLD_KEPT_BLOCK):
        if libc.mallopt(M_MMAP_THRESHOLD, largest):
            break
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BLOCK)


def free_memory(device: torch.device) -> int | None:
    """Free bytes on the device, or None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def peak_memory(device: torch.device) -> int:
    """The most bytes held so far: allocated on a GPU, resident elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0  # it keeps no such count
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def find_device(asked: str) -> tuple[torch.device, str]:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        name = next(name for name, here in present.items() if here)
        missing = [other for other in present if not present[other]]
        return torch.device(name), f"found by itself; absent: {', '.join(missing)}" if missing else "found by itself"
    if not present[asked]:
        have = ", ".join(name for name, here in present.items() if here)
        raise UsageFault(expected(f"a machine with {asked}", f"one with {have}", "--device", "use --device auto"))
    return torch.device(asked), "asked for"


def find_precision(asked: str, device: torch.device) -> Choice:
    if asked == "auto":
        return _best_precision(device)
    if asked not in PRECISIONS_OF[device.type]:
        have = " or ".join(PRECISIONS_OF[device.type])
        raise UsageFault(expected(f"{have} on {device.type}", asked, "--precision", "use --precision auto"))
    return Choice(asked, "asked for")


def _best_precision(device: torch.device) -> Choice:
    if device.type != "cuda":
        return Choice("fp32", f"the precision for {device.type}")
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return Choice("bf16", f"compute capability {major}.{minor} has it")
    return Choice("fp16", f"compute capability {major}.{minor} has no bf16; gradients are scaled")
