"""Triton against the torch reference on this device, at full size; the losses and block ends against float64."""

import itertools
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.gpu.stages.stage import begin, full_ranges, sources
from bench.kernels.loss_rows import LOSSES, captured, inputs, loss_call
from galaxy_triton.kernels import AugmentDraw, AugmentParams, augment, norm_relu_pool, sample

# Six times the error of torch's own float path when its roundings come in another order.
FP32 = 2e-4
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def views(given, index: Tensor, pixels: Tensor, layout: int, dtype: torch.dtype, **options) -> Tensor:
    """Views, written into memory that was filled with NaN."""
    size = options["size"]
    shape = (len(index), layout, size, size)
    out = torch.empty(shape, dtype=dtype, device=pixels.device, memory_format=torch.channels_last).fill_(torch.nan)
    return augment(pixels, index, given, out=out, **options)


def part(given, rows: slice):
    """These rows of parameters or of a draw."""
    if isinstance(given, AugmentDraw):
        return given._replace(ids=given.ids[rows])
    return AugmentParams(*(column[rows] for column in given))


def augmentation(found, device: str, side: int, size: int, count: int) -> None:
    pixels = sources(count, side, device)
    index = torch.randperm(count, device=device)
    tensors = [torch.tensor(value, device=device) for value in (2**40 + 1, 3)]
    draw = AugmentDraw(*tensors, torch.arange(count, device=device) * 2**27, full_ranges())
    here, there = sample(draw, side=side, size=size), sample(_on_cpu(draw), side=side, size=size)
    same = all(torch.equal(a.cpu(), b) for a, b in zip(here, there, strict=True))
    found.row(what="sample here and on the CPU", ok=same)
    for source, border, layout in itertools.product(("params", "draw"), ("zeros", "reflect"), (3, 4)):
        given = here if source == "params" else draw
        options = {"size": size, "border": border, "mean": (0.1, 0.1, 0.1), "std": (0.5, 0.5, 0.5)}
        reference = views(given, index, pixels, layout, torch.float32, impl="torch", **options)
        exact = views(given, index, pixels, layout, torch.float32, impl="triton", **options)
        for dtype in DTYPES:
            if device == "cpu" and dtype == torch.bfloat16:
                continue  # the interpreter truncates it
            got = views(given, index, pixels, layout, dtype, impl="triton", **options)
            half = slice(count // 2, None)
            again = views(part(given, half), index[half], pixels, layout, dtype, impl="triton", **options)
            compare(found, f"{source} {border} {layout}", reference, exact, got, again)


def compare(found, what: str, reference: Tensor, exact: Tensor, got: Tensor, half: Tensor) -> None:
    """`got` of any dtype: against the reference, against its own fp32 rounded once, and against half of the batch."""
    error = (exact - reference).abs().max().item()
    rounded_off = (got != exact.to(got.dtype)).sum().item()
    batch = torch.equal(got[len(got) - len(half) :], half)
    ok = error <= FP32 * 2 and rounded_off == 0 and batch and not got.isnan().any().item()
    found.row(what=what, dtype=str(got.dtype)[6:], error=error, not_rounded_once=rounded_off, same_in_half=batch, ok=ok)


def _on_cpu(draw: AugmentDraw) -> AugmentDraw:
    return AugmentDraw(draw.seed.cpu(), draw.epoch.cpu(), draw.ids.cpu(), draw.ranges)


def errors(name: str, logits: Tensor, targets: Tensor, impl: str) -> tuple[float, float]:
    """Errors of value and gradient against float64, relative to the largest value."""
    z64 = logits.double().requires_grad_()
    want = (LOSSES[name].probabilities(z64) - targets.double()).square().mean()
    want.backward()
    z = logits.clone().requires_grad_()
    got = LOSSES[name].loss(z, targets, impl)
    got.backward()
    value = (got.double() - want).abs() / want
    return value.item(), ((z.grad.double() - z64.grad).abs().max() / z64.grad.abs().max()).item()


def loss(found, name: str, device: str, rows: int) -> None:
    logits, targets = torch.randn(rows, 37, device=device) * 3, torch.rand(rows, 37, device=device)
    for dtype in DTYPES:
        usual, got = (errors(name, logits.to(dtype), targets, impl) for impl in ("torch", "triton"))
        slack = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
        ok = all(mine <= theirs + slack for mine, theirs in zip(got, usual, strict=True))
        what = {"what": f"{name} loss of {rows}", "dtype": str(dtype)[6:]}
        found.row(**what, value=got[0], gradient=got[1], torch_gradient=usual[1], ok=ok)


def block_inputs(count: int, channels: int, side: int, device: str) -> tuple[Tensor, ...]:
    """x, weight, bias and the gradient of y; no value is near the ReLU's kink, where a rounding decides a gradient."""
    x, upstream = (torch.randn(count, channels, s, s, device=device) for s in (side, side // 2))
    weight = torch.empty(channels, device=device).uniform_(-0.1, 0.1)
    bias = torch.where(torch.arange(channels, device=device) % 4 == 0, -1.0, 1.0)
    return x.contiguous(memory_format=torch.channels_last), weight, bias, upstream


def block_call(impl: str, x: Tensor, weight: Tensor, bias: Tensor, upstream: Tensor) -> Callable[[], tuple]:
    """y and the gradients of x, weight and bias."""
    x, weight, bias = (one.detach().requires_grad_() for one in (x, weight, bias))
    running = torch.zeros_like(weight), torch.ones_like(weight)

    def call() -> tuple[Tensor, ...]:
        if impl == "float64":
            y = F.max_pool2d(F.batch_norm(x, None, None, weight, bias, training=True).relu(), 2)
        else:
            y = norm_relu_pool(x, weight, bias, *running, impl=impl)
        return (y.detach(), *torch.autograd.grad(y, (x, weight, bias), upstream.to(y.dtype)))

    return call


def block_end(found, device: str, count: int, channels: int, side: int) -> None:
    given = block_inputs(count, channels, side, device)
    for dtype in DTYPES:
        if device == "cpu" and dtype == torch.bfloat16:
            continue  # the interpreter truncates it
        x, *others = given[0].to(dtype), *given[1:3], given[3].to(dtype)
        want = block_call("float64", *(one.double() for one in (x, *others)))()
        usual, got = (relative(block_call(impl, x, *others)(), want) for impl in ("torch", "triton"))
        slack = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
        ok = all(mine <= 2 * theirs + slack for mine, theirs in zip(got, usual, strict=True))
        found.row(what="norm_relu_pool", dtype=str(dtype)[6:], errors=got, torch_errors=usual, ok=ok)


def relative(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> list[float]:
    """The largest error of each, relative to its largest value."""
    return [((g - w).abs().max() / w.abs().max()).item() for g, w in zip(got, want, strict=True)]


def in_graphs(found, device: torch.device, side: int, size: int, count: int) -> None:
    """Each kernel in a captured CUDA graph, replayed after all its inputs have changed."""
    pixels, index = sources(count, side, device), torch.randperm(count, device=device)
    seed, epoch = (torch.tensor(value, device=device) for value in (1, 2))
    draw = AugmentDraw(seed, epoch, index, full_ranges())

    def change_views() -> None:
        seed.add_(2**40)
        epoch.add_(1)
        index.copy_(torch.randperm(count, device=device))

    def call() -> tuple[Tensor]:
        return (augment(pixels, index, draw, size=size, dtype=torch.bfloat16, impl="triton"),)

    replayed(found, "augment", call, change_views)
    for name in LOSSES:
        logits, targets = inputs(256, device)

        def change_batch(logits: Tensor = logits, targets: Tensor = targets) -> None:
            logits.detach().normal_()
            targets.uniform_()

        replayed(found, f"{name} loss", loss_call(name, "triton", logits, targets), change_batch)
    x, *others = block_inputs(count, 24, size, device)
    replayed(found, "norm_relu_pool", block_call("triton", x, *others), x.normal_)


def replayed(found, what: str, call: Callable[[], tuple[Tensor, ...]], change: Callable[[], None]) -> None:
    """A graph against an eager call, bit for bit, into poisoned memory."""
    replay, filled = captured(call)
    for replay_number in (1, 2):
        change()
        for tensor in filled:
            tensor.fill_(torch.nan)
        replay()
        same = all(torch.equal(mine, wanted) for mine, wanted in zip(filled, call(), strict=True))
        found.row(what=f"{what} in a CUDA graph, replay {replay_number}", ok=same)


def main() -> None:
    arguments, found = begin()
    torch.manual_seed(0)
    sizes = (24, 16, 2) if arguments.small else (160, 128, 64)
    augmentation(found, arguments.device, *sizes)
    for name, rows in itertools.product(LOSSES, (7,) if arguments.small else (7, 256, 1000)):
        loss(found, name, arguments.device, rows)
    block_end(found, arguments.device, *((3, 8, 10) if arguments.small else (64, 64, 128)))
    if arguments.device == "cuda":
        in_graphs(found, torch.device("cuda"), *sizes)
    else:
        found.fact("left_out", [{"what": "captured CUDA graphs, bfloat16 views and blocks", "reason": "no GPU"}])
    sys.exit(1 if found.faults() else 0)


if __name__ == "__main__":
    main()
