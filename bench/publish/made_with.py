"""The machine, versions and commit with which a result was measured."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "triton", "torchvision", "numpy", "kornia", "triton-augment", "nvidia-dali-cuda130")


def made_with(device: torch.device) -> dict[str, object]:
    """The machine and its software. load: average number of running tasks in the minute before."""
    return {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": f"{platform.python_version()} on {platform.system()}",
        "packages": {package: found for package in PACKAGES if (found := version(package))},
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        **commit(),
    }


def line_of(values: dict[str, Any]) -> str:
    """A line of a page about the machine of trainings on a CPU."""
    return f"*{values['cpu']}, a thread a training, torch {values['packages']['torch']}; commit {values['commit']}.*\n"


def commit() -> dict[str, object]:
    """commit: HEAD of the tree. changed: files that differ from it. None if this is not a clone."""
    if not (ROOT / ".git").exists():
        return {"commit": None, "changed": None}
    changed = output("git", "-C", str(ROOT), "status", "--short")
    return {"commit": output("git", "-C", str(ROOT), "rev-parse", "HEAD"), "changed": (changed or "").splitlines()}


def cpu_model() -> str:
    """The processor's name, from /proc/cpuinfo if there is one."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def output(*command: str) -> str | None:
    """The output of a command; None if it does not exist or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.rstrip() if done.returncode == 0 else None
