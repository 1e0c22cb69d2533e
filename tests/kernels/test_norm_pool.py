"""norm_relu_pool: value, gradients and running statistics inside an error budget around float64, and its promises."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galaxy_triton.kernels import NormReluPool, norm_relu_pool
from galaxy_triton.kernels.launch_settings import Launch, Settings
from galaxy_triton.kernels.norm_pool import fused, reference

UNIT = 2.0**-24  # largest relative error of one fp32 rounding
ROUNDINGS = 64  # of the largest number, in sums of a few thousand
MOMENTUM, EPS = 0.3, 1e-3
Shape = tuple[int, int, int, int]


class Inputs(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    upstream: Tensor  # gradient of y


class Results(NamedTuple):
    y: Tensor
    x: Tensor  # gradient of x
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor


def make_inputs(shape: Shape, device: torch.device, *, signs: str = "mixed", dtype: torch.dtype = torch.float32):
    """signs: of the weights, "positive", "none negative" with zeros, or "mixed" with zeros and negative ones."""
    generator = torch.Generator().manual_seed(sum(shape))
    count, channels, height, width = shape
    x = torch.randn(shape, generator=generator) * 2 + 1
    weight, bias, mean = (torch.randn(channels, generator=generator) for _ in range(3))
    weight = weight.abs()
    upstream = torch.randn((count, channels, height // 2, width // 2), generator=generator)
    if signs != "positive":
        weight[2::3] = 0
    if signs == "mixed":
        weight[1::3] *= -1
    x, upstream = (one.to(device, dtype, memory_format=torch.channels_last) for one in (x, upstream))
    return Inputs(x, *(one.to(device) for one in (weight, bias, mean, mean.abs() + 1)), upstream)


def exact(inputs: Inputs) -> Results:
    """In float64, from the definitions: the place is looked for among the four of a window, one after the other."""
    x, weight, bias = (one.double().requires_grad_() for one in inputs[:3])
    channels = (0, 2, 3)
    mean = x.mean(channels, keepdim=True)
    var = ((x - mean) ** 2).mean(channels, keepdim=True)
    normal = (x - mean) / (var + EPS).sqrt() * weight[:, None, None] + bias[:, None, None]
    down, across = (side // 2 * 2 for side in x.shape[2:])
    best, *others = (normal[:, :, i:down:2, j:across:2] for i in (0, 1) for j in (0, 1))
    for other in others:
        best = torch.where(other > best, other, best)
    y = best.clamp(min=0)
    gradients = torch.autograd.grad(y, (x, weight, bias), inputs.upstream.double())
    count = x.numel() // x.shape[1]
    moments = (mean.flatten(), var.flatten() * count / (count - 1))
    running = (old.double() * (1 - MOMENTUM) + MOMENTUM * new for old, new in zip(inputs[3:5], moments, strict=True))
    return Results(y.detach(), *gradients, *(one.detach() for one in running))


def measured(inputs: Inputs, impl: str) -> Results:
    """By an implementation; "reference" for what they are compared with."""
    x, weight, bias = (one.detach().clone().requires_grad_() for one in inputs[:3])
    running = (inputs.running_mean.clone(), inputs.running_var.clone())
    if impl == "reference":
        y = reference.norm_relu_pool(x, weight, bias, *running, MOMENTUM, EPS)
    else:
        y = norm_relu_pool(x, weight, bias, *running, momentum=MOMENTUM, eps=EPS, impl=impl)
        assert y.is_contiguous(memory_format=torch.channels_last)
    gradients = torch.autograd.grad(y, (x, weight, bias), inputs.upstream)
    assert (y.dtype, gradients[0].dtype, gradients[1].dtype) == (x.dtype, x.dtype, torch.float32)
    return Results(y.detach(), *gradients, *running)


def budget(inputs: Inputs, want: Results) -> Results:
    """The largest errors that fp32 may make, a number or [C] each.

    μ is a rounded number, so x̂ is off by its rounding times r: what each number is worth grows by 1 + |μ| r.
    """
    x, upstream = inputs.x.double(), inputs.upstream.double()
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    worth = ROUNDINGS * UNIT * (1 + mean.abs() / (var + EPS).sqrt())
    scale = inputs.weight.double().abs() / (var + EPS).sqrt()
    largest = upstream.abs().amax((0, 2, 3))
    normal = inputs.weight.double().abs() * ((x - mean[:, None, None]).abs().amax((0, 2, 3)) / (var + EPS).sqrt())
    total = upstream.abs().sum((0, 2, 3))
    y = worth * (normal + inputs.bias.double().abs())
    running = (4 * UNIT * want.running_mean.abs() + worth * var.sqrt(), 4 * UNIT * want.running_var + worth * var)
    return Results(_wide(y), _wide(worth * scale * largest), worth * total, worth * total, *running)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]


def check(inputs: Inputs, impl: str) -> None:
    want, got = exact(inputs), measured(inputs, impl)
    rounding = torch.finfo(inputs.x.dtype).eps
    for name, mine, true, allowed in zip(Results._fields, got, want, budget(inputs, want), strict=True):
        # The interpreter cuts numbers off where a GPU rounds them.
        last = rounding * true.abs() if name in ("y", "x") else 0
        assert not mine.isnan().any(), name
        assert ((mine.double() - true).abs() <= allowed.abs() + last).all(), name


@pytest.fixture(params=["reference", "torch", "triton"])
def any_impl(request: pytest.FixtureRequest) -> str:
    return request.param


# Windows that fill no tile; odd sides; more channels than a program takes; one window; several programs.
SHAPES = [(4, 24, 8, 8), (3, 5, 7, 9), (1, 70, 2, 2), (2, 3, 2, 3), (12, 3, 16, 16)]


@pytest.mark.parametrize(("shape", "signs"), [*((shape, "mixed") for shape in SHAPES), (SHAPES[1], "positive")])
def test_norm_relu_pool(shape: Shape, signs: str, any_impl: str, device: torch.device) -> None:
    check(make_inputs(shape, device, signs=signs), any_impl)


@pytest.mark.parametrize("signs", ["none negative", "mixed"])
def test_the_first_of_equal_values_gets_the_gradient(signs: str, any_impl: str, device: torch.device) -> None:
    """Of a window's four places each is the first largest, and with a weight of 0 the first of all is."""
    inputs = make_inputs((6, 6, 8, 9), device, signs=signs)
    check(inputs._replace(x=inputs.x.clamp(-1, 2).round(), bias=inputs.bias.abs() + 4), any_impl)


def test_norm_relu_pool_about_a_large_mean(any_impl: str, device: torch.device) -> None:
    """The mean of squares less the square of the mean would be wrong by more than the variance."""
    inputs = make_inputs((6, 6, 8, 9), device)
    inputs = inputs._replace(x=inputs.x * 0.125 + 2.0**12)
    assert inputs.x.double().var() < 2.0**24 * UNIT
    check(inputs, any_impl)


def test_budget_is_tight(device: torch.device) -> None:
    """A test that allows everything shows nothing."""
    inputs = make_inputs(SHAPES[0], device)
    want = exact(inputs)
    for allowed, true in zip(budget(inputs, want), want, strict=True):
        assert (allowed.max() <= 1e-4 * true.abs().max()).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norm_relu_pool_of_half_numbers(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Computed in fp32 from the rounded x, and rounded once."""
    check(make_inputs((3, 5, 7, 9), device, dtype=dtype), impl)


@pytest.mark.parametrize(("tile", "parts"), [(64, 1024), (64, 3), (1024, 1)])
def test_programs_share_the_work(
    tile: int, parts: int, launches, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """Of one tile each, or of several, where some have none left; the same bits each time."""
    monkeypatch.setattr(fused, "settings", lambda device: Settings(norm_pool=Launch(tile, 4)))
    monkeypatch.setattr(fused, "MAX_PARTS", parts)
    noted = launches(fused)
    inputs = make_inputs((3, 6, 7, 8), device)
    check(inputs, "triton")
    assert [one.kernel for one in noted] == [f"_{name}_kernel" for name in KERNELS]
    assert noted[0].grid[0] <= parts
    assert all(torch.equal(a, b) for a, b in zip(measured(inputs, "triton"), measured(inputs, "triton"), strict=True))


KERNELS = ("extrema", "moments", "activate", "sums", "totals", "gradient")


def test_memory_of_any_order(impl: str, device: torch.device) -> None:
    """x by planes, and the gradient of a mean over places, which is one number expanded."""
    inputs = make_inputs((3, 5, 7, 9), device)
    inputs = inputs._replace(upstream=inputs.upstream[:, :, :1, :1].expand(-1, -1, 3, 4))
    usual, got = (measured(inputs._replace(x=x), impl) for x in (inputs.x, inputs.x.contiguous()))
    assert all(torch.equal(a, b) for a, b in zip(got, usual, strict=True))
    check(inputs, impl)


def test_nan_stays_nan(any_impl: str, device: torch.device) -> None:
    inputs = make_inputs((2, 3, 4, 4), device)
    inputs.x[0, 1, 2, 2] = torch.nan
    y = measured(inputs, any_impl).y
    assert y.isnan().any((0, 2, 3)).tolist() == [False, True, False]


def test_norm_relu_pool_is_differentiated_once(impl: str, device: torch.device) -> None:
    """Autograd cannot differentiate the gradient; but the same gradient can be computed again."""
    x, weight, bias, mean, var, upstream = make_inputs((2, 3, 4, 4), device)
    x.requires_grad_()
    y = norm_relu_pool(x, weight, bias, mean, var, impl=impl)
    first, second = (torch.autograd.grad(y, x, upstream, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(RuntimeError, match="Expected one differentiation, got create_graph"):
        torch.autograd.grad(y, x, upstream, create_graph=True)


def test_closed_form_waits_for_no_number() -> None:
    """Tensors without numbers: what looked at one would fail, as it would make the host wait for a GPU."""
    inputs = Inputs(*(one.to("meta") for one in make_inputs((2, 3, 4, 5), torch.device("cpu"))))
    assert measured(inputs, "torch").x.shape == (2, 3, 4, 5)


def test_ops_are_registered_soundly(device: torch.device) -> None:
    x, weight, bias, _, _, upstream = make_inputs((2, 3, 5, 4), device)
    ops = torch.ops.galaxy_triton
    torch.library.opcheck(ops.norm_relu_pool.default, (x, weight, bias, EPS))
    kept = ops.norm_relu_pool(x, weight, bias, EPS)
    torch.library.opcheck(ops.norm_relu_pool_backward.default, (upstream, x, weight, *kept, EPS))


# Inductor takes half a minute to start.
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_norm_relu_pool_inside_a_compiled_graph(backend: str, impl: str, device: torch.device) -> None:
    """With no break of the graph; the running statistics move in it too."""
    inputs = make_inputs((3, 5, 7, 9), device)

    def step(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return norm_relu_pool(x * 2, weight, bias, mean, var, momentum=MOMENTUM, eps=EPS, impl=impl)

    results = []
    for function in (step, torch.compile(step, fullgraph=True, backend=backend)):
        given = [one.clone().requires_grad_(place < 3) for place, one in enumerate(inputs[:5])]
        y = function(*given)
        results.append([y, *torch.autograd.grad(y, given[:3], inputs.upstream), *given[3:]])
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


@pytest.mark.slow  # half a minute, most of it Inductor's start
def test_norm_relu_pool_compiled(device: torch.device) -> None:
    check(make_inputs((3, 5, 7, 9), device), "compile")


@pytest.mark.parametrize("momentum", [MOMENTUM, None])
def test_module_has_the_state_of_a_batch_norm(momentum: float | None, impl: str, device: torch.device) -> None:
    """A checkpoint moves both ways; after steps in training both answer the same in evaluation.

    Without a momentum, as torch.optim.swa_utils.update_bn sets it, all batches count alike.
    """
    x, weight, bias, _, _, _ = make_inputs((3, 5, 7, 9), device)
    module = NormReluPool(5, momentum=momentum, eps=EPS, impl=impl).to(device)
    twin = nn.Sequential(nn.BatchNorm2d(5, EPS, momentum), nn.ReLU(), nn.MaxPool2d(2)).to(device)
    twin[0].load_state_dict({**twin[0].state_dict(), "weight": weight, "bias": bias})
    module.load_state_dict(twin[0].state_dict())
    for factor in (1, 2, 3):
        torch.testing.assert_close(module(x * factor), twin(x * factor))
    assert list(module.state_dict()) == list(twin[0].state_dict())
    torch.testing.assert_close(module.state_dict(), twin[0].state_dict())
    twin[0].load_state_dict(module.state_dict())
    assert torch.equal(module.eval()(x), twin.eval()(x))
    assert module.num_batches_tracked == 3


def test_module_under_autocast(impl: str, device: torch.device) -> None:
    """The convolution gives bf16, and the block stays in it; statistics and weights keep fp32."""
    torch.manual_seed(0)
    conv, module = nn.Conv2d(3, 5, 3).to(device), NormReluPool(5, impl=impl).to(device)
    images = torch.randn(4, 3, 9, 9, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        convolved = conv(images)
        y = module(convolved)
    y.float().square().sum().backward()
    assert (convolved.dtype, y.dtype, module.running_mean.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    assert module.weight.grad.abs().sum() > 0
    assert conv.weight.grad.abs().sum() > 0
    want = F.max_pool2d(F.relu(F.batch_norm(convolved.float(), None, None, training=True)), 2)
    torch.testing.assert_close(y.float(), want, rtol=0.01, atol=0.01)
