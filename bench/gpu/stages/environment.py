"""The machine and software of the results."""

import platform
import shutil
from pathlib import Path

import torch

from bench.gpu.stages.stage import begin
from bench.kernels.measure import rates
from bench.publish.made_with import PACKAGES, made_with, output, version

ALSO = ("pandas", "pillow", "click", "rich", "safetensors", "pytest", "pytest-benchmark")


def main() -> None:
    arguments, found = begin()
    for name, value in made_with(torch.device(arguments.device)).items():
        found.fact(name, value)
    found.fact("packages", {package: version(package) for package in (*PACKAGES, *ALSO)})
    found.fact("commit", arguments.commit or found.content["commit"])
    found.fact("platform", platform.platform())
    if arguments.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found.fact("capability", f"{properties.major}.{properties.minor}")
        found.fact("memory_gib", round(properties.total_memory / 2**30, 1))
        query = "--query-gpu=driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
        found.fact("driver", output("nvidia-smi", query, "--format=csv,noheader"))
        found.fact("rates", rates(torch.device("cuda")))
    tools = ("compute-sanitizer", "gcc", "nvcc")
    found.fact("tools", {tool: Path(path).name if (path := shutil.which(tool)) else None for tool in tools})


if __name__ == "__main__":
    main()
