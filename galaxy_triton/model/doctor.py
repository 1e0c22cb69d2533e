"""A report of the machine for a bug report: versions, compiler, GPU, memory, and whether each implementation runs."""

import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from galaxy_triton import __version__
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import IMPLEMENTATIONS, NORMS, Augmentation
from galaxy_triton.data.feed import Batch
from galaxy_triton.kernels import norm_relu_pool, unavailable
from galaxy_triton.kernels.availability import compiler, compiler_reason
from galaxy_triton.model import head, views
from galaxy_triton.model.backend import BODIES, body_unavailable, choose
from galaxy_triton.model.body import norm_unavailable
from galaxy_triton.model.device import free_memory

PACKAGES = ("torch", "triton", "torchvision", "numpy", "pandas", "pillow", "click", "rich", "matplotlib", "safetensors")
OPTIONAL = ("torchvision",)  # only some networks need it
TOLERANCE = 2e-4  # fp32 views on a GPU, against torch
LOSS_TOLERANCE, NORM_TOLERANCE = 1e-5, 1e-4  # relative to the largest gradient


def examine() -> Iterator[tuple[str, bool]]:
    """Yield the report's lines, each with whether it is a fault."""
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
    reasons = {
        "augment": {impl: unavailable(impl, device) for impl in IMPLEMENTATIONS[1:]},
        "loss": {impl: unavailable(impl, device) for impl in IMPLEMENTATIONS[1:]},
        "body": {body: body_unavailable(body, device) for body in BODIES},
        "norm": {norm: norm_unavailable("galaxy-vgg", norm, device) for norm in NORMS[1:]},
    }
    for option, by_name in reasons.items():
        for name, reason in by_name.items():
            yield f"{option:<12} {name:<8} {reason or 'runs here'}", False


def _parity(device: torch.device) -> Iterator[tuple[str, bool]]:
    """Compare the kernels with torch on random images, in a few seconds."""
    reason = unavailable("triton", device)
    if reason is not None:
        yield f"parity       the kernels cannot run: {reason}", True
        return
    started = time.perf_counter()
    for what, option, error, tolerance in (
        ("augment", "--augment torch", augment_error(device), TOLERANCE),
        *((f"{name} loss", "--loss torch", loss_error(device, name), LOSS_TOLERANCE) for name in head.HEADS),
        ("block ends", "--norm layers", norm_error(device), NORM_TOLERANCE),
    ):
        verdict = "the same as torch" if error <= tolerance else f"EXPECTED AT MOST {tolerance:g}: train with {option}"
        yield f"parity       {what}: largest difference {error:.1e}, {verdict}", error > tolerance
    yield f"parity       took {time.perf_counter() - started:.1f} s", False


def augment_error(device: torch.device) -> float:
    """Largest difference of random views, kernel against torch."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 160, 160, 4), dtype=torch.uint8, generator=generator).to(device)
    rows = torch.arange(64, device=device)
    batch = Batch(pixels, rows, rows + 100_000, torch.empty(0, device=device))
    recipe = Augmentation(zoom=1.2, shift=0.05, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)
    seed, epoch = torch.tensor(1, device=device), torch.tensor(0, device=device)

    def make(impl: str) -> Tensor:
        maker = views.ViewMaker(recipe, impl=impl)
        return maker.random(batch, seed, epoch, maker.empty(64, device))

    return (make("torch") - make("triton")).abs().max().item()


def loss_error(device: torch.device, name: str) -> float:
    """Largest difference of a head's gradient for the logits, kernel against torch, relative to the largest value."""
    generator = torch.Generator().manual_seed(2)
    logits, labels = (torch.randn(256, 37, generator=generator).to(device) for _ in range(2))
    labels = labels.sigmoid()

    def gradient(impl: str) -> Tensor:
        leaf = logits.clone().requires_grad_()
        return torch.autograd.grad(head.HEADS[name].loss(leaf, labels, impl), leaf)[0]

    return _relative_difference(gradient)


def norm_error(device: torch.device) -> float:
    """The same of norm_relu_pool's gradient for the images."""
    generator = torch.Generator().manual_seed(3)
    images, upstream = torch.randn(8, 16, 32, 32, generator=generator), torch.randn(8, 16, 16, 16, generator=generator)

    def gradient(impl: str) -> Tensor:
        leaf = images.to(device, memory_format=torch.channels_last).requires_grad_()
        ones, zeros = (torch.full((16,), value, device=device) for value in (1.0, 0.0))
        pooled = norm_relu_pool(leaf, ones, zeros, zeros.clone(), ones.clone(), impl=impl)
        return torch.autograd.grad(pooled, leaf, upstream.to(device))[0]

    return _relative_difference(gradient)


def _relative_difference(gradient: Callable[[str], Tensor]) -> float:
    first, second = gradient("torch"), gradient("triton")
    return ((first - second).abs().max() / first.abs().max()).item()
