"""The rate of matrix products that a device reaches, measured and by its data sheet, and the operations of a step."""

import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from galaxy_triton.config.schema import Network
from galaxy_triton.model.head import make_network

ROUNDS, CALLS = 5, 4  # the median of rounds counts; calls in a round hide the wait for the device
SIDES = {"cuda": 8192, "mps": 2048, "cpu": 1024}  # of the square matrices: past every cache, a second on two cores

# By a part of the GPU's name: TFLOP/s of dense products with fp32 sums, from NVIDIA's data sheets (A100, A10, B200
# (HGX), H100, H200, L4, L40S, T4, V100) and its paper on Ada (RTX 4090); where they count sparsity, half of it. "fp32"
# is without tensor cores; what is not here is not known for certain.
SHEETS: dict[str, dict[str, float]] = {
    "A10": {"bf16": 125, "fp16": 125, "tf32": 62.5, "fp32": 31.2},
    "A100 80GB PCIe": {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5},
    "A100-PCIE": {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5},
    "A100-SXM4": {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5},
    "B200": {"bf16": 2250, "fp16": 2250},
    "GeForce RTX 4090": {"bf16": 165, "fp16": 165, "tf32": 82.6, "fp32": 82.6},
    "H100 80GB HBM3": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},  # the one on SXM
    "H100 PCIe": {"bf16": 756, "fp16": 756, "tf32": 378, "fp32": 51},
    "H200": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},
    "L4": {"bf16": 121, "fp16": 121, "tf32": 60, "fp32": 30.3},
    "L40S": {"bf16": 362, "fp16": 362, "tf32": 183, "fp32": 91.6},
    "T4": {"fp16": 65, "fp32": 8.1},
    "V100-PCIE": {"fp16": 112, "fp32": 14},
    "V100-SXM2": {"fp16": 125, "fp32": 15.7},
}
OTHER_CHIPS = re.compile(r"\b(MIG|NVL|Laptop|D)\b")  # a part of a GPU, or another of nearly the same name
NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Ceilings:
    """The highest rates of matrix products, in 10^12 operations a second; a multiply-add is two operations.

    precision: "bf16", "fp16", "tf32" or "fp32".
    matmul_tflops: of a large matrix product, measured here.
    sheet_tflops: the dense peak in the data sheet; None where it is not known for certain.
    sheet_name: the GPU in the data sheet; the device's own name where there is none.
    """

    precision: str
    matmul_tflops: float
    sheet_tflops: float | None
    sheet_name: str

    def compare(self, tflops: float) -> str:
        """A rate beside these, in words."""
        measured = f"{tflops / self.matmul_tflops:.1%} of a large product here ({self.matmul_tflops:.3g})"
        if self.sheet_tflops is None:
            return measured
        sheet = f"{self.sheet_name}'s {self.sheet_tflops:g} in {self.precision}"
        return f"{measured}, {tflops / self.sheet_tflops:.1%} of the data sheet's ({sheet})"


def measure(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """Measure a large matrix product on `device` in `dtype` (float32, float16 or bfloat16).

    cuDNN runs convolutions of float32 in TF32 on GPUs that have it, unless told otherwise; so does this product. On
    CUDA it takes some 400 MiB meanwhile, and resets the peak of memory.
    """
    precision = _precision(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    sheet_name, sheet_tflops = sheet(name, precision)
    with torch.inference_mode(), _matmul_as(precision):
        matmul_tflops = _matmul_tflops(device, dtype)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return Ceilings(precision, matmul_tflops, sheet_tflops, sheet_name)


def sheet(gpu: str, precision: str) -> tuple[str, float | None]:
    """The name in SHEETS of a GPU that torch calls `gpu`, and its peak in TFLOP/s; (`gpu`, None) if none is known."""
    if OTHER_CHIPS.search(gpu):
        return gpu, None
    # a size or a socket may follow; "-24Q" and the like are virtual GPUs
    found = [name for name in SHEETS if re.search(rf"(?<![\w-]){re.escape(name)}(?!\w|-\d+[ABCQ]\b)", gpu)]
    return (found[0], SHEETS[found[0]].get(precision)) if found else (gpu, None)


def step_flops(network: Network, batch: int, side: int) -> int:
    """Operations of the convolutions and matrix products in a step's forward and backward pass; nothing is computed.

    Args:
        batch, side: of the views, [batch, 3, side, side].
    """
    with torch.device("meta"):
        model, views = make_network(network), torch.empty(batch, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        model(views).sum().backward()
    total: int = counter.get_total_flops()
    return total


def mfu(images_per_s: float, flops_per_image: float, peak_tflops: float) -> float:
    """The share of a peak rate that a training reaches: "model FLOPs utilisation"."""
    return images_per_s * flops_per_image / (peak_tflops * 1e12)


def _precision(device: torch.device, dtype: torch.dtype) -> str:
    if dtype is torch.float32 and device.type == "cuda":
        has_tf32 = torch.cuda.get_device_capability(device)[0] >= 8
        return "tf32" if has_tf32 and torch.backends.cudnn.allow_tf32 else "fp32"
    return NAMES[dtype]


@contextmanager
def _matmul_as(precision: str) -> Iterator[None]:
    """Inside the block matrix products use this precision; torch's switch for TF32 is off by default."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _matmul_tflops(device: torch.device, dtype: torch.dtype) -> float:
    side = SIDES[device.type] if dtype is not torch.float32 else min(4096, SIDES[device.type])
    # Numbers of a normal spread: a GPU's clock is higher on zeros.
    generator = torch.Generator(device)  # of its own: a run's dropout must not depend on a measurement
    left, right = (torch.randn(side, side, dtype=dtype, device=device, generator=generator) for _ in range(2))
    out = torch.empty_like(left)
    seconds = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for _ in range(CALLS):
            torch.mm(left, right, out=out)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        seconds.append((time.perf_counter() - started) / CALLS)
    return 2 * side**3 / statistics.median(seconds[1:]) / 1e12  # the first round warms up
