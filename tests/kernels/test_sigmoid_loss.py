"""sigmoid_mse: value and gradient inside torch's own fp32 error against float64, and what it promises beside them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from galaxy_triton.kernels import sigmoid_mse
from galaxy_triton.kernels.launch_settings import Settings
from galaxy_triton.kernels.sigmoid_loss import fused, reference

# A single value, less than a warp, odd, a usual batch, two programs and a part of a third.
SHAPES = [(1, 1), (3, 5), (7, 37), (256, 37), (900, 37)]
UPSTREAM = 3.7


def _inputs(shape: tuple[int, int], weighted: bool, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
    rng = torch.Generator().manual_seed(sum(shape))
    logits = torch.randn(shape, generator=rng) * 3
    targets = torch.rand(shape, generator=rng)
    weight = torch.rand(shape[1], generator=rng) + 0.1 if weighted else None
    return logits.to(device), targets.to(device), None if weight is None else weight.to(device)


def _exact(logits: Tensor, targets: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Loss and gradient in float64, by torch's own functions; the reference would cast to fp32."""
    z = logits.detach().double().requires_grad_()
    square = F.mse_loss(torch.sigmoid(z), targets.double(), reduction="none")
    loss = (square if weight is None else square * weight.double()).mean()
    (UPSTREAM * loss).backward()
    return loss.detach(), z.grad


def _run(impl: str, logits: Tensor, targets: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    z = logits.detach().clone().requires_grad_()
    loss = sigmoid_mse(z, targets, weight=weight, impl=impl)
    (UPSTREAM * loss).backward()
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert z.grad.dtype == logits.dtype
    return loss.detach(), z.grad


# Roundings of the largest value; a GPU's exp and division are approximate.
SLACK = 1e-6 if torch.cuda.is_available() else 3e-7


def _check(inputs: tuple[Tensor, Tensor, Tensor | None], impl: str, slack: float = SLACK) -> None:
    """No further from the truth than torch in fp32 is, plus a few roundings of the largest value."""
    for exact, usual, got in zip(_exact(*inputs), _run("torch", *inputs), _run(impl, *inputs), strict=True):
        budget = (usual.double() - exact).abs() + slack * exact.abs().max()
        assert not got.isnan().any()
        assert ((got.double() - exact).abs() <= budget).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigmoid_mse(shape: tuple[int, int], weighted: bool, device: torch.device) -> None:
    _check(_inputs(shape, weighted, device), "triton")


@pytest.mark.slow  # 20 s on a CPU, most of it Inductor's start
def test_sigmoid_mse_compiled(device: torch.device) -> None:
    _check(_inputs((7, 37), True, device), "compile")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sigmoid_mse_of_half_logits(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Computed in fp32 from the rounded logits; the gradient is rounded once, to their dtype."""
    logits, targets, weight = _inputs((50, 37), True, device)
    _check((logits.to(dtype), targets, weight), impl, slack=torch.finfo(dtype).eps)
    wide = _run(impl, logits.to(dtype).float(), targets, weight)
    half = _run(impl, logits.to(dtype), targets, weight)
    # On a GPU a thread adds eight half values where it adds four wide ones.
    torch.testing.assert_close(half[0], wide[0], rtol=1e-6, atol=0)
    assert torch.equal(half[1], wide[1].to(dtype))


def test_sigmoid_mse_gradient_survives_half_precision(impl: str, device: torch.device) -> None:
    """The upstream factor (a GradScaler's) acts before the cast: unscaled, these would round to zero in fp16."""
    logits = torch.zeros(512, 37, dtype=torch.float16, device=device, requires_grad=True)
    targets = torch.full((512, 37), 0.5 - 1e-4, device=device)
    (sigmoid_mse(logits, targets, impl=impl) * 2.0**16).backward()
    want = 2 * 1e-4 * 0.25 / logits.numel() * 2**16
    assert ((logits.grad.double() - want).abs() < 2e-3 * want).all()


# For -100 the kernel's exp overflows to the infinity that makes its sigmoid 0; only numpy, as interpreter, says so.
@pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sigmoid_mse_of_extreme_logits(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    logits = torch.tensor([[-100.0, 100.0, 0.0, -30.0, 30.0]], device=device, dtype=dtype)
    targets = torch.tensor([[0.0, 1.0, 0.5, 1.0, 0.0]], device=device)
    loss, gradient = _run(impl, logits, targets, None)
    assert loss.item() == pytest.approx(0.4, abs=1e-6)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e-6


def test_sigmoid_mse_is_a_mean(impl: str, device: torch.device) -> None:
    """By hand: p = 1/2 everywhere, so L = 1/4 and dL/dz = 2 (1/2) (1/4) / n, whatever n."""
    for shape in [(1, 1), (4, 37), (500, 37)]:
        logits, targets = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        loss, gradient = _run(impl, logits, targets, None)
        assert loss.item() == pytest.approx(0.25, rel=1e-6)
        want = torch.full(shape, UPSTREAM * 0.25 / logits.numel(), device=device)
        torch.testing.assert_close(gradient, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_mse_gradcheck(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite differences in float64, so the reference's casts to fp32 are taken out."""
    monkeypatch.setattr(Tensor, "float", lambda tensor: tensor)
    logits, targets, weight = _inputs((3, 5), weighted, torch.device("cpu"))
    arguments = (targets.double(), None if weight is None else weight.double())
    z = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: reference.sigmoid_mse(z, *arguments), (z,))


@pytest.mark.parametrize(("rows", "programs"), [(256, 1), (442, 1), (443, 5)])
def test_sigmoid_mse_is_one_launch(
    rows: int, programs: int, launches, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """Value and gradient; by the settings where nothing was measured 442 * 37 is the last multiple for one program."""
    monkeypatch.setattr(fused, "settings", lambda device: Settings())
    noted = launches(fused)
    _run("triton", *_inputs((rows, 37), False, device))
    assert [one[:2] for one in noted] == [("_sigmoid_mse_kernel", (programs,))]


@pytest.mark.parametrize("weighted", [False, True])
def test_op_is_registered_soundly(weighted: bool, device: torch.device) -> None:
    arguments = _inputs((7, 37), weighted, device)
    torch.library.opcheck(torch.ops.galaxy_triton.sigmoid_mse.default, arguments)


def test_reference_is_the_mean_squared_error(device: torch.device) -> None:
    """Against numpy, so that the specification is held to something too."""
    logits, targets, weight = _inputs((7, 37), True, device)
    z, y, w = (tensor.double().cpu().numpy() for tensor in (logits, targets, weight))
    want = np.mean(w * (1 / (1 + np.exp(-z)) - y) ** 2)
    assert reference.sigmoid_mse(logits, targets, weight).item() == pytest.approx(want, rel=1e-6)
