"""What a device can do at most, by its data sheet and as measured here, and what a training step asks of it."""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from galaxy_triton.config.schema import Network
from galaxy_triton.experiments.profile_breakdown import BATCH_NORM, OPTIMISER, POOLING, RELU
from galaxy_triton.model.head import make_network

ROUNDS = 7
# Side of the square matrices and bytes of the copy: past every cache, and about a second on two cores.
SIDES = {"cuda": 8192, "mps": 2048, "cpu": 1024}
COPIED = {"cuda": 2**28, "mps": 2**27, "cpu": 2**27}

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
# Layers that memory bounds: the kind of their work.
PASSES: dict[type[nn.Module], str] = {nn.BatchNorm2d: BATCH_NORM, nn.ReLU: RELU, nn.MaxPool2d: POOLING}
NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Ceilings:
    """The most that a device does.

    precision: of the products: "bf16", "fp16", "tf32" or "fp32".
    matmul_tflops: a large matrix product measured here, 10^12 operations a second, a multiply-add being two.
    copy_gb_s: a large copy measured here, 10^9 bytes read and written a second.
    sheet_tflops: the dense peak of the data sheet; None where it is not known for certain.
    sheet_name: the GPU whose data sheet it is; the device's own name where there is none.
    """

    precision: str
    matmul_tflops: float
    copy_gb_s: float
    sheet_tflops: float | None
    sheet_name: str


def measure(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """Measure the ceilings of `device` for a body that computes in `dtype` (float32, float16 or bfloat16).

    Convolutions of float32 run as TF32 on GPUs that have it, unless that was turned off; the product is then measured
    so. On CUDA some 900 MiB are held for the while, and the count of the peak of memory begins again.
    """
    precision = _precision(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    sheet_name, sheet_tflops = sheet(name, precision)
    with torch.inference_mode(), _matmul_as(precision):
        matmul_tflops = _matmul_tflops(device, dtype)
    ceilings = Ceilings(precision, matmul_tflops, _copy_gb_s(device), sheet_tflops, sheet_name)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return ceilings


def sheet(gpu: str, precision: str) -> tuple[str, float | None]:
    """The name in SHEETS of what torch calls `gpu`, and its peak in TFLOP/s; (`gpu`, None) where none is known."""
    if OTHER_CHIPS.search(gpu):
        return gpu, None
    # what follows may be a size or a socket; "-24Q" and the like are virtual GPUs
    found = [name for name in SHEETS if re.search(rf"(?<![\w-]){re.escape(name)}(?!\w|-\d+[ABCQ]\b)", gpu)]
    return (found[0], SHEETS[found[0]].get(precision)) if found else (gpu, None)


def step_flops(network: Network, batch: int, side: int) -> int:
    """Operations of a step's forward and backward pass through the network, a multiply-add being two.

    Convolutions and matrix products are counted, as every count of FLOPs does; nothing is computed.

    Args:
        batch, side: of the views.
    """
    with torch.device("meta"):
        model, views = make_network(network), torch.empty(batch, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        model(views).sum().backward()
    total: int = counter.get_total_flops()
    return total


def least_bytes(network: Network, batch: int, side: int, element_bytes: int) -> dict[str, int]:
    """What a step must at least read and write in its layers of few operations, each run by itself, by kind of work.

    Forward: the input and the output; backward: their gradients and what was kept, for which a layer needs it. AdamW
    reads a weight, its gradient and two moments and writes all but the gradient, in fp32.

    Args:
        batch, side: of the views. element_bytes: of the type that the body computes in.
    """
    moved = dict.fromkeys(PASSES.values(), 0)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kind = PASSES[type(layer)]
        kept = 0 if kind == POOLING else output.numel()
        moved[kind] += element_bytes * (2 * (inputs[0].numel() + output.numel()) + kept)

    with torch.device("meta"):
        model = make_network(network)
        for layer in filter(lambda layer: type(layer) in PASSES, model.modules()):
            layer.register_forward_hook(count)
        model(torch.empty(batch, 3, side, side))
    return {**moved, OPTIMISER: 28 * sum(parameter.numel() for parameter in model.parameters())}


def mfu(images_per_s: float, flops_per_image: float, peak_tflops: float) -> float:
    """The share of a peak that a training reaches ("model FLOPs utilisation")."""
    return images_per_s * flops_per_image / (peak_tflops * 1e12)


def _precision(device: torch.device, dtype: torch.dtype) -> str:
    if dtype is torch.float32 and device.type == "cuda":
        has_tf32 = torch.cuda.get_device_capability(device)[0] >= 8
        return "tf32" if has_tf32 and torch.backends.cudnn.allow_tf32 else "fp32"
    return NAMES[dtype]


@contextmanager
def _matmul_as(precision: str) -> Iterator[None]:
    """Products in TF32 while the block runs: torch has a switch of its own for them, off by default."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _matmul_tflops(device: torch.device, dtype: torch.dtype) -> float:
    side = SIDES[device.type] if dtype is not torch.float32 else min(4096, SIDES[device.type])
    # Numbers of a normal spread: a GPU's clock is higher on zeros.
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * side**3 / _seconds(lambda: torch.mm(left, right, out=out), device) / 1e12


def _copy_gb_s(device: torch.device) -> float:
    source = torch.randint(256, (COPIED[device.type],), dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * len(source) / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(call: Callable[[], Tensor], device: torch.device) -> float:
    """Of one call: the median of several, after one that is not counted."""
    call()
    once = _on_cuda if device.type == "cuda" else _by_clock
    return statistics.median(once(call, device) for _ in range(ROUNDS))


def _on_cuda(call: Callable[[], Tensor], device: torch.device) -> float:
    """Of two calls behind a third, under which the host queues them."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):
        call()
        first.record()
        call()
        call()
        last.record()
    last.synchronize()
    milliseconds: float = first.elapsed_time(last)
    return milliseconds / 2e3


def _by_clock(call: Callable[[], Tensor], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "mps":
        torch.mps.synchronize()
