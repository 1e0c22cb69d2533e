"""What the results were measured on."""

import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

import torch
from stage import begin

PACKAGES = ("torch", "triton", "torchvision", "numpy", "pandas", "pillow", "click", "rich", "safetensors", "pytest")


def output(*command: str) -> str | None:
    """What a command prints; None where it does not exist or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else None


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def copy_gb_s(device: str, size: int) -> float:
    """Bytes read and written per second by a large copy on the device, / 1e9."""
    source, target = torch.randint(0, 255, (2, size), dtype=torch.uint8, device=device)
    target.copy_(source)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    for _ in range(10):
        target.copy_(source)
    events[1].record()
    torch.cuda.synchronize()
    return 10 * 2 * size / events[0].elapsed_time(events[1]) / 1e6


def main() -> None:
    arguments, found = begin()
    found.fact("python", platform.python_version())
    found.fact("platform", platform.platform())
    found.fact("packages", {package: version(package) for package in PACKAGES})
    found.fact("commit", output("git", "-C", str(arguments.root), "rev-parse", "HEAD"))
    found.fact("changed", output("git", "-C", str(arguments.root), "status", "--short"))
    if arguments.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found.fact("gpu", properties.name)
        found.fact("capability", f"{properties.major}.{properties.minor}")
        found.fact("multiprocessors", properties.multi_processor_count)
        found.fact("memory_gib", round(properties.total_memory / 2**30, 1))
        found.fact("cuda", torch.version.cuda)
        query = "--query-gpu=driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
        found.fact("driver", output("nvidia-smi", query, "--format=csv,noheader"))
        found.fact("copy_gb_s", round(copy_gb_s("cuda", 2**20 if arguments.small else 2**31)))
    tools = ("compute-sanitizer", "gcc", "nvcc")
    found.fact("tools", {tool: Path(path).name if (path := shutil.which(tool)) else None for tool in tools})


main()
