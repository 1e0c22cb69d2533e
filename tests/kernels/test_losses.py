"""Promises of both losses beside their values: halves of a batch, repeats, launch settings, compiled graphs."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES
from galaxy_triton.kernels import Tree, sigmoid_mse, tree_mse
from galaxy_triton.kernels.launch_settings import Launch, Settings
from galaxy_triton.kernels.sigmoid_loss import fused as sigmoid_loss
from galaxy_triton.kernels.tree_loss import fused as tree_loss

COLUMNS = sum(SIZES)
LOSSES = {"sigmoid": sigmoid_mse, "tree": partial(tree_mse, tree=Tree(SIZES, PARENTS))}
UPSTREAM = 3.7  # factor that the gradients are of
Loss = Callable[..., Tensor]


@pytest.fixture(params=LOSSES)
def loss_of(request: pytest.FixtureRequest) -> Loss:
    return LOSSES[request.param]


@pytest.fixture
def set_launch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Launch], None]:
    """set_launch(launch): from now on the settings of both losses."""

    def choose(launch: Launch) -> None:
        for module in (sigmoid_loss, tree_loss):
            monkeypatch.setattr(module, "settings", lambda device: Settings(sigmoid=launch, tree=launch))

    return choose


def make_inputs(rows: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and weights."""
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, COLUMNS, generator=generator) * 3
    targets = torch.rand(rows, COLUMNS, generator=generator)
    weight = torch.rand(COLUMNS, generator=generator) + 0.1
    return logits.to(device), targets.to(device), weight.to(device)


def measured(loss_of: Loss, impl: str, logits: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient of UPSTREAM times the loss."""
    z = logits.clone().requires_grad_()
    loss = loss_of(z, targets, weight=weight, impl=impl)
    return loss.detach(), torch.autograd.grad(UPSTREAM * loss, z)[0]


def test_a_batch_and_its_halves(loss_of: Loss, impl: str, device: torch.device) -> None:
    """The loss is a mean, so a half's gradient is twice the batch's: bit for bit, as the factor is a power of two."""
    logits, targets, weight = make_inputs(900, device)
    loss, gradient = measured(loss_of, impl, logits, targets, weight)
    parts = zip(logits.split(450), targets.split(450), strict=True)
    halves = [measured(loss_of, impl, *part, weight) for part in parts]
    assert torch.equal(torch.cat([half[1] for half in halves]), 2 * gradient)
    assert sum(half[0].item() for half in halves) / 2 == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("rows", [7, 900])
def test_a_loss_is_repeatable(rows: int, loss_of: Loss, impl: str, device: torch.device) -> None:
    inputs = make_inputs(rows, device)
    first = measured(loss_of, impl, *inputs)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(first, measured(loss_of, impl, *inputs), strict=True))


# For 7 rows of 37 answers: one program, then several, each of a part of a row, a row or a few.
SHARES = [Launch(256, 4, alone=512), Launch(128, 4, alone=128), Launch(32, 4, alone=32), Launch(16, 4, alone=128)]


@pytest.mark.parametrize("share", SHARES)
def test_a_loss_does_not_depend_on_its_programs(
    share: Launch, loss_of: Loss, set_launch: Callable[[Launch], None], device: torch.device
) -> None:
    """But for the order in which they are summed."""
    inputs = make_inputs(7, device)
    usual = measured(loss_of, "triton", *inputs)
    set_launch(share)
    got = measured(loss_of, "triton", *inputs)
    torch.testing.assert_close(got[0], usual[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(got[1], usual[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("launch", [SHARES[0], SHARES[3]])
def test_a_loss_is_a_tensor_of_its_own(
    launch: Launch, loss_of: Loss, set_launch: Callable[[Launch], None], device: torch.device
) -> None:
    """It can be divided in place, as steps that accumulate do, whether one program made it or many."""
    set_launch(launch)
    z, targets = torch.zeros(7, COLUMNS, device=device, requires_grad=True), torch.ones(7, COLUMNS, device=device)
    (whole,) = torch.autograd.grad(loss_of(z, targets, impl="triton"), z)
    loss = loss_of(z, targets, impl="triton")
    loss /= 2
    loss.backward()
    assert torch.equal(z.grad, whole / 2)


def test_a_loss_is_differentiated_once(loss_of: Loss, device: torch.device) -> None:
    """Its gradient is a constant to autograd: a penalty on it would silently be none."""
    z = torch.zeros(7, COLUMNS, device=device, requires_grad=True)
    loss = loss_of(z, torch.ones(7, COLUMNS, device=device), impl="triton")
    with pytest.raises(RuntimeError, match="choose impl='torch'"):
        torch.autograd.grad(loss, z, create_graph=True)


# Inductor takes half a minute to start.
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_loss_inside_a_compiled_graph(backend: str, loss_of: Loss, impl: str, device: torch.device) -> None:
    """Loss and backward as the end of a network, with no break of the graph."""
    logits, targets, weight = make_inputs(16, device)
    factor = torch.tensor(1.5, device=device, requires_grad=True)

    def step(factor: Tensor) -> Tensor:
        return loss_of(logits * factor, targets, weight=weight, impl=impl)

    (want,) = torch.autograd.grad(step(factor), factor)
    loss = torch.compile(step, fullgraph=True, backend=backend)(factor)
    torch.testing.assert_close(loss, step(factor), rtol=1e-6, atol=0)
    (got,) = torch.autograd.grad(loss, factor)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)
