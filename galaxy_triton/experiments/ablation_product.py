"""The rate at which a device multiplies large matrices, and the operations of a training step."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from galaxy_triton.config.schema import Network
from galaxy_triton.model.head import make_network

ROUNDS, CALLS = 5, 4  # the median of rounds counts; several calls in a round hide the wait for the device
SIDES = {"cuda": 8192, "mps": 2048, "cpu": 1024}  # of the square matrices: past every cache, a second on two cores


def product_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """The measured rate of a large matrix product in `dtype`, in TFLOP/s; a multiply-add is two operations.

    A float32 product runs in TF32 where cuDNN runs convolutions so. On CUDA it takes some 400 MiB meanwhile, and resets
    the peak of memory.
    """
    side = SIDES[device.type] if dtype is not torch.float32 else min(4096, SIDES[device.type])
    generator = torch.Generator(device)  # of its own: a run's dropout must not depend on a measurement
    # Numbers of a normal spread: a GPU's clock is higher on zeros.
    left, right = (torch.randn(side, side, dtype=dtype, device=device, generator=generator) for _ in range(2))
    out = torch.empty_like(left)
    with torch.inference_mode(), _tf32_as_in_convolutions(device):
        seconds = [_seconds_of_product(left, right, out) for _ in range(ROUNDS + 1)][1:]  # the first warms up
    del left, right, out
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return 2 * side**3 / statistics.median(seconds) / 1e12


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


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        torch.mm(left, right, out=out)
    if left.device.type != "cpu":
        torch.accelerator.synchronize(left.device)
    return (time.perf_counter() - started) / CALLS


@contextmanager
def _tf32_as_in_convolutions(device: torch.device) -> Iterator[None]:
    """Torch has a switch of its own for TF32 in matrix products, off by default."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
