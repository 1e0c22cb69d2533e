"""A report of the machine, fit to paste into a bug report: versions, compiler, GPU, memory, what runs and why not."""

import platform
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from galaxy_triton import __version__
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import IMPLEMENTATIONS, NORMS, Augmentation
from galaxy_triton.data.feed import Batch
from galaxy_triton.kernels import norm_relu_pool
from galaxy_triton.kernels.availability import compiler, compiler_reason
from galaxy_triton.model import head, views
from galaxy_triton.model.backend import BODIES, body_unavailable, choose
from galaxy_triton.model.body import norm_unavailable
from galaxy_triton.model.device import free_memory

PACKAGES = ("torch", "triton", "torchvision", "numpy", "pandas", "pillow", "click", "rich", "matplotlib", "safetensors")
OPTIONAL = ("torchvision",)  # needed for some networks only
TOLERANCE = 2e-4  # fp32 views on a GPU against the torch path
LOSS_TOLERANCE, NORM_TOLERANCE = 1e-5, 1e-4  # of the largest gradient


def examine() -> Iterator[tuple[str, bool]]:
    """Lines of the report, each with whether it is a fault."""
    yield f"galaxy-triton {__version__}, Python {platform.python_version()}, {platform.platform()}", False
    yield from _packages()
    yield f"compiler     {compiler() or 'none'}: {compiler_reason() or 'Triton and torch.compile can build'}", False
    device = choose(RECIPES["seed"]).device
    yield from _hardware(device)
    yield from _implementations(device)
    if device.type == "cuda":
        yield from _parity(device)


def _packages() -> Iterator[tuple[str, bool]]:
    for name in PACKAGES:
        try:
            yield f"{name:<12} {version(name)}", False
        except PackageNotFoundError:
            unavailable = name == "triton" and sys.platform != "linux"
            do = "" if unavailable else f": pip install {name}"
            yield f"{name:<12} missing{do}", not (unavailable or name in OPTIONAL)


def _hardware(device: torch.device) -> Iterator[tuple[str, bool]]:
    if device.type == "cuda":
        for number in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(number)
            size = f"{gpu.total_memory / 2**30:.1f} GiB"
            yield f"gpu {number}        {gpu.name}, capability {gpu.major}.{gpu.minor}, {size}", False
    else:
        yield f"gpu          none for CUDA; training uses {device.type}, {torch.get_num_threads()} threads", False
    free = free_memory(device)
    disk = shutil.disk_usage(".").free
    memory = "unknown" if free is None else f"{free / 2**30:.1f} GiB"
    yield f"free         memory of {device.type} {memory}, disk here {disk / 2**30:.1f} GiB", False


def _implementations(device: torch.device) -> Iterator[tuple[str, bool]]:
    for impl in IMPLEMENTATIONS[1:]:
        yield f"augment      {impl:<8} {views.unavailable(impl, device) or 'runs here'}", False
    for body in BODIES:
        yield f"body         {body:<8} {body_unavailable(body, device) or 'runs here'}", False
    for norm in NORMS[1:]:
        yield f"norm         {norm:<8} {norm_unavailable('galaxy-vgg', norm, device) or 'runs here'}", False
    for name in head.HEADS:
        for impl in IMPLEMENTATIONS[1:]:
            yield f"loss {name:<7} {impl:<8} {head.unavailable(name, impl, device) or 'runs here'}", False


def _parity(device: torch.device) -> Iterator[tuple[str, bool]]:
    """The kernels against the torch path on random images, a few seconds."""
    reason = views.unavailable("triton", device)
    if reason is not None:
        yield f"parity       the kernels cannot run: {reason}", True
        return
    started = time.perf_counter()
    for what, error, tolerance in (
        ("augment", _augment_error(device), TOLERANCE),
        *((f"{name} loss", _loss_error(device, name), LOSS_TOLERANCE) for name in head.HEADS),
        ("block ends", _norm_error(device), NORM_TOLERANCE),
    ):
        verdict = "as the torch path" if error <= tolerance else f"EXPECTED AT MOST {tolerance:g}"
        yield f"parity       {what}: largest difference {error:.1e}, {verdict}", error > tolerance
    yield f"parity       took {time.perf_counter() - started:.1f} s", False


def _augment_error(device: torch.device) -> float:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 160, 160, 4), dtype=torch.uint8, generator=generator).to(device)
    rows = torch.arange(64, device=device)
    batch = Batch(pixels, rows, rows + 100_000, torch.empty(0, device=device))
    recipe = Augmentation(zoom=1.2, shift=0.05, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)
    seed, epoch = torch.tensor(1, device=device), torch.tensor(0, device=device)
    results = []
    for impl in ("torch", "triton"):
        maker = views.ViewMaker(recipe, impl=impl)
        results.append(maker.random(batch, seed, epoch, maker.empty(64, device)))
    return (results[0] - results[1]).abs().max().item()


def _norm_error(device: torch.device) -> float:
    """Of the gradient for the images, where both see the same."""
    generator = torch.Generator().manual_seed(3)
    images, upstream = torch.randn(8, 16, 32, 32, generator=generator), torch.randn(8, 16, 16, 16, generator=generator)
    gradients: list[torch.Tensor] = []
    for impl in ("torch", "triton"):
        leaf = images.to(device, memory_format=torch.channels_last).requires_grad_()
        ones, zeros = (torch.full((16,), value, device=device) for value in (1.0, 0.0))
        pooled = norm_relu_pool(leaf, ones, zeros, zeros.clone(), ones.clone(), impl=impl)
        gradients += torch.autograd.grad(pooled, leaf, upstream.to(device))
    first, second = gradients
    return ((first - second).abs().max() / first.abs().max()).item()


def _loss_error(device: torch.device, name: str) -> float:
    generator = torch.Generator().manual_seed(2)
    logits, answers = (torch.randn(256, 37, generator=generator).to(device) for _ in range(2))
    answers = answers.sigmoid()
    gradients: list[torch.Tensor] = []
    for impl in ("torch", "triton"):
        leaf = logits.clone().requires_grad_()
        loss = head.HEADS[name].loss(leaf, answers, impl)
        gradients += torch.autograd.grad(loss, leaf)
    first, second = gradients
    return ((first - second).abs().max() / first.abs().max()).item()
