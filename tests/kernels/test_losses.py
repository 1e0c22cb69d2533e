"""Promises of both losses beside their values: half precision, halves of a batch, launches, compiled graphs."""

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
from tests.kernels.loss_oracle import value_and_gradient

COLUMNS = sum(SIZES)
LOSSES = {"sigmoid": sigmoid_mse, "tree": partial(tree_mse, tree=Tree(SIZES, PARENTS))}
Loss = Callable[..., Tensor]
SetLaunch = Callable[[Settings], None]


@pytest.fixture(params=LOSSES)
def loss_of(request: pytest.FixtureRequest) -> Loss:
    return LOSSES[request.param]


@pytest.fixture
def set_launch(monkeypatch: pytest.MonkeyPatch) -> SetLaunch:
    """set_launch(settings): from now on those of both losses."""

    def choose(settings: Settings) -> None:
        for module in (sigmoid_loss, tree_loss):
            monkeypatch.setattr(module, "settings", lambda device: settings)

    return choose


def make_inputs(rows: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and weights."""
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, COLUMNS, generator=generator) * 3
    targets = torch.rand(rows, COLUMNS, generator=generator)
    weight = torch.rand(COLUMNS, generator=generator) + 0.1
    return logits.to(device), targets.to(device), weight.to(device)


def measured(loss_of: Loss, impl: str, logits: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return value_and_gradient(lambda z: loss_of(z, targets, weight=weight, impl=impl), logits)


def shared(launch: Launch) -> Settings:
    return Settings(sigmoid=launch, tree=launch)


# For 7 rows of 37 answers: one program, then several, each of a row, a part of a row or a few.
ALONE, *SHARES = [Launch(256, 4, alone=512), Launch(32, 4, alone=32), Launch(16, 4, alone=128)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits(dtype: torch.dtype, loss_of: Loss, impl: str, device: torch.device) -> None:
    """Computed in fp32 from the rounded logits; the gradient is rounded once, to their type."""
    logits, targets, weight = make_inputs(20, device)
    half = measured(loss_of, impl, logits.to(dtype), targets, weight)
    wide = measured(loss_of, impl, logits.to(dtype).float(), targets, weight)
    # On a GPU a thread adds eight half values where it adds four wide ones.
    torch.testing.assert_close(half[0], wide[0], rtol=1e-6, atol=0)
    assert torch.equal(half[1], wide[1].to(dtype))


@pytest.mark.parametrize("loss", [sigmoid_mse, partial(tree_mse, tree=Tree((2,), (None,)))], ids=LOSSES)
def test_gradient_survives_half_precision(loss: Loss, impl: str, device: torch.device) -> None:
    """The upstream factor (a GradScaler's) acts before the cast: unscaled, these would round to zero in fp16."""
    logits = torch.zeros(512, 2, dtype=torch.float16, device=device, requires_grad=True)
    targets = torch.tensor([0.5 - 1e-4, 0.5], device=device).repeat(512, 1)
    (loss(logits, targets, impl=impl) * 2.0**13).backward()
    want = 2 * 1e-4 * 0.25 / logits.numel() * 2**13
    assert ((logits.grad[:, 0].double() - want).abs() < 2e-3 * want).all()


@pytest.mark.parametrize("settings", [Settings(), shared(SHARES[0])], ids=["one program", "several"])
def test_a_batch_and_its_halves(settings: Settings, loss_of: Loss, set_launch: SetLaunch, device: torch.device) -> None:
    """The loss is a mean, so a half's gradient is twice the batch's: bit for bit, as the factor is a power of two.

    And a batch has the same bits again.
    """
    set_launch(settings)
    logits, targets, weight = make_inputs(8, device)
    loss, gradient = measured(loss_of, "triton", logits, targets, weight)
    parts = zip(logits.split(4), targets.split(4), strict=True)
    halves = [measured(loss_of, "triton", *part, weight) for part in parts]
    assert torch.equal(torch.cat([half[1] for half in halves]), 2 * gradient)
    assert sum(half[0].item() for half in halves) / 2 == pytest.approx(loss.item(), rel=1e-6)
    again = measured(loss_of, "triton", logits, targets, weight)
    assert torch.equal(loss, again[0])
    assert torch.equal(gradient, again[1])


@pytest.mark.parametrize("launch", [ALONE, *SHARES])
def test_a_loss_does_not_depend_on_its_programs(
    launch: Launch, loss_of: Loss, set_launch: SetLaunch, device: torch.device
) -> None:
    """But for the order in which they are summed."""
    inputs = make_inputs(7, device)
    usual = measured(loss_of, "triton", *inputs)
    set_launch(shared(launch))
    got = measured(loss_of, "triton", *inputs)
    torch.testing.assert_close(got[0], usual[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(got[1], usual[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "rows", "programs"), [("sigmoid", 442, 1), ("sigmoid", 443, 5), ("tree", 128, 1), ("tree", 129, 2)]
)
def test_a_loss_is_one_launch(
    name: str, rows: int, programs: int, launches, set_launch: SetLaunch, device: torch.device
) -> None:
    """Value and gradient, at the last batch for one program and the next, by the settings that hold on any GPU."""
    set_launch(Settings())
    noted = launches({"sigmoid": sigmoid_loss, "tree": tree_loss}[name])
    measured(LOSSES[name], "triton", *make_inputs(rows, device))
    assert [one[:2] for one in noted] == [(f"_{name}_mse_kernel", (programs,))]


@pytest.mark.parametrize("launch", [ALONE, SHARES[1]])
def test_a_loss_is_a_tensor_of_its_own(
    launch: Launch, loss_of: Loss, set_launch: SetLaunch, device: torch.device
) -> None:
    """It can be divided in place, as steps that accumulate do, whether one program made it or many."""
    set_launch(shared(launch))
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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_ops_are_registered_soundly(name: str, weighted: bool, device: torch.device) -> None:
    logits, targets, weight = make_inputs(7, device)
    tree = ([*SIZES], [-1 if parent is None else parent for parent in PARENTS]) if name == "tree" else ()
    op = getattr(torch.ops.galaxy_triton, f"{name}_mse").default
    torch.library.opcheck(op, (logits, targets, weight if weighted else None, *tree))


# Inductor takes half a minute to start.
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_loss_inside_a_compiled_graph(backend: str, loss_of: Loss, device: torch.device) -> None:
    """Loss and backward as the end of a network, with no break of the graph."""
    logits, targets, weight = make_inputs(16, device)
    factor = torch.tensor(1.5, device=device, requires_grad=True)

    def step(factor: Tensor) -> Tensor:
        return loss_of(logits * factor, targets, weight=weight, impl="triton")

    (want,) = torch.autograd.grad(step(factor), factor)
    loss = torch.compile(step, fullgraph=True, backend=backend)(factor)
    torch.testing.assert_close(loss, step(factor), rtol=1e-6, atol=0)
    (got,) = torch.autograd.grad(loss, factor)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)


@pytest.mark.slow  # a minute on a CPU, most of it Inductor's start
def test_a_loss_compiled(loss_of: Loss, device: torch.device) -> None:
    inputs = make_inputs(7, device)
    got, want = (measured(loss_of, impl, *inputs) for impl in ("compile", "torch"))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-9)
