"""tree_mse: value and gradient inside an error budget around float64, on every shape of tree, and what it promises."""

import math
import random

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import Tree, tree_mse, tree_probabilities
from galaxy_triton.kernels.tree_loss import fused, reference
from galaxy_triton.questions import PARENTS, SIZES

UPSTREAM = 3.7
UNIT = 2.0**-24  # largest relative error of one fp32 rounding
TINY = 2.0**-120  # what is lost where fp32 underflows, and more

Inputs = tuple[Tensor, Tensor, Tensor | None]


def random_tree(levels: tuple[int, ...]) -> Tree:
    """So many questions on each level, of one to nine answers each, hanging from any answer of the level above."""
    rng = random.Random(5)
    sizes: list[int] = []
    parents: list[int | None] = []
    above: list[int] = []
    for questions in levels:
        start = sum(sizes)
        for _ in range(questions):
            sizes.append(rng.randint(1, 9))
            parents.append(rng.choice(above) if above else None)
        above = list(range(start, sum(sizes)))
    return Tree(tuple(sizes), tuple(parents))


GALAXY_ZOO_2 = Tree(SIZES, PARENTS)
FORESTS = {
    "one question": Tree((3,), (None,)),
    "one answer": Tree((1,), (None,)),
    "two roots": Tree((2, 4), (None, None)),
    "chain of three": Tree((2, 3, 2, 2), (None, 1, 4, 6)),
    "bush": Tree((3, 2, 2, 5, 2, 3), (None, 0, 2, None, 7, 4)),
    "answers alone": Tree((1, 1, 1), (None, 0, 1)),
    "wide": Tree((300, 2), (None, 299)),
    "three levels": random_tree((2, 4, 6)),
    "Galaxy Zoo 2": GALAXY_ZOO_2,
}


def make_inputs(tree: Tree, rows: int, weighted: bool, device: torch.device) -> Inputs:
    generator = torch.Generator().manual_seed(rows)
    shape = (rows, sum(tree.sizes))
    logits = torch.randn(shape, generator=generator) * 3
    targets = torch.rand(shape, generator=generator)
    weight = torch.rand(shape[1], generator=generator) + 0.1 if weighted else None
    return logits.to(device), targets.to(device), None if weight is None else weight.to(device)


def oracle(logits: Tensor, tree: Tree) -> Tensor:
    """p answer by answer: its share of its question, times the answer above, times the one above that."""
    question_of = [number for number, size in enumerate(tree.sizes) for _ in range(size)]
    starts = [sum(tree.sizes[:number]) for number in range(len(tree.sizes))]
    columns: list[Tensor] = []
    for column, question in enumerate(question_of):
        span = slice(starts[question], starts[question] + tree.sizes[question])
        weights = torch.exp(logits[:, span] - logits[:, span].amax(1, keepdim=True))
        share = weights[:, column - span.start] / weights.sum(1)
        parent = tree.parents[question]
        columns.append(share if parent is None else share * columns[parent])
    return torch.stack(columns, dim=1)


def exact(logits: Tensor, targets: Tensor, weight: Tensor | None, tree: Tree) -> tuple[Tensor, Tensor]:
    """Loss and gradient in float64."""
    z = logits.detach().double().requires_grad_()
    square = (oracle(z, tree) - targets.double()) ** 2
    loss = (square if weight is None else square * weight.double()).mean()
    (UPSTREAM * loss).backward()
    return loss.detach(), z.grad


def measured(inputs: Inputs, tree: Tree, impl: str) -> tuple[Tensor, Tensor]:
    """Loss and gradient by an implementation."""
    logits, targets, weight = inputs
    z = logits.detach().clone().requires_grad_()
    loss = tree_mse(z, targets, tree, weight=weight, impl=impl)
    (UPSTREAM * loss).backward()
    assert (loss.shape, loss.dtype, z.grad.dtype) == ((), torch.float32, logits.dtype)
    return loss.detach(), z.grad


def leading(tree: Tree) -> Tensor:
    """A, float64 [K, K]: a one at each answer itself and at every answer that leads to it."""
    parent_of = [parent for size, parent in zip(tree.sizes, tree.parents, strict=True) for _ in range(size)]
    matrix = torch.eye(len(parent_of), dtype=torch.float64)
    for column, parent in enumerate(parent_of):
        if parent is not None:
            matrix[column] += matrix[parent]
    return matrix


def same_question(tree: Tree) -> Tensor:
    """Float64 [K, K]: a one where two answers belong to one question."""
    return torch.block_diag(*(torch.ones(size, size, dtype=torch.float64) for size in tree.sizes))


def budget(logits: Tensor, targets: Tensor, weight: Tensor | None, tree: Tree) -> tuple[Tensor, Tensor]:
    """The largest errors that fp32 may make in the loss and in each element of the gradient, [B, K].

    A softmax of n answers: x = z - max is rounded once, exp(x) is off by 3|x| + 4 roundings (x times log2 e, then a
    GPU's exp2), their sum by 1.2 n + 4 (its terms: |x| exp(x) < 1/e) and n more, the division by 2: 3|x| + 2.2 n + 10.
    The reference adds logs, each rounded relative to |x| once a level. 8|x| + 4 n + 12 holds for both, and a product
    adds these up over the levels. What follows is each step of the equation to first order.
    """
    z, y = logits.double().cpu(), targets.double().cpu()
    w = torch.ones(z.shape[1]).double() if weight is None else weight.double().cpu()
    ways, together = leading(tree), same_question(tree)
    x = torch.cat([part - part.amax(1, keepdim=True) for part in z.split(list(tree.sizes), dim=1)], dim=1)
    relative = UNIT * (8 * x.abs() + 4 * together.sum(1) + 12) @ ways.T
    p, share = oracle(z, tree), torch.softmax(x.unsqueeze(1) + together.log(), dim=2).diagonal(dim1=1, dim2=2)
    wrong_p, error = relative * p, (p - y).abs()
    square = w * (2 * error * wrong_p + 4 * UNIT * error**2)
    h = 2 * w * error * p / z.numel()
    wrong_h = 2 * w * (error + p) * wrong_p / z.numel() + 6 * UNIT * h
    # Sums over at most K answers, in any order.
    count = z.shape[1]
    g, wrong_g = h @ ways, (wrong_h + count * UNIT * h) @ ways
    total, wrong_total = g @ together, wrong_g @ together + count * UNIT * (g @ together)
    gradient = wrong_g + share * (wrong_total + (relative + 4 * UNIT) * total) + 2 * UNIT * g
    # Rows are added pairwise, answers in any order.
    loss = square.mean() + (count + 2 * math.log2(z.numel() + 1)) * UNIT * (w * error**2).mean()
    return loss + TINY, UPSTREAM * gradient + TINY


def check(inputs: Inputs, tree: Tree, impl: str, rounding: float = 2 * UNIT) -> None:
    """`rounding` is the relative error of the gradient's last step, to the type of the logits."""
    allowed = budget(*inputs, tree)
    for want, got, slack, last in zip(
        exact(*inputs, tree), measured(inputs, tree, impl), allowed, (0, rounding), strict=True
    ):
        want, got = want.cpu(), got.double().cpu()
        assert not got.isnan().any()
        assert ((got - want).abs() <= slack + last * want.abs()).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", FORESTS)
def test_tree_mse(name: str, weighted: bool, impl: str, device: torch.device) -> None:
    check(make_inputs(FORESTS[name], 5, weighted, device), FORESTS[name], impl)


@pytest.mark.parametrize("rows", [1, 128, 129, 300])
def test_tree_mse_of_batches(rows: int, device: torch.device) -> None:
    """One row, a full program, one row more, two programs and a part of a third."""
    check(make_inputs(GALAXY_ZOO_2, rows, True, device), GALAXY_ZOO_2, "triton")


@pytest.mark.slow  # a minute on a CPU, most of it Inductor's start
def test_tree_mse_compiled(device: torch.device) -> None:
    check(make_inputs(GALAXY_ZOO_2, 7, True, device), GALAXY_ZOO_2, "compile")


def test_budget_is_tight(device: torch.device) -> None:
    """A test that allows everything shows nothing: the gradient may be wrong by 2e-4 of its largest element."""
    inputs = make_inputs(GALAXY_ZOO_2, 50, True, device)
    loss, gradient = exact(*inputs, GALAXY_ZOO_2)
    allowed_loss, allowed_gradient = budget(*inputs, GALAXY_ZOO_2)
    assert allowed_loss < 2e-5 * loss.cpu()
    assert allowed_gradient.max() < 2e-4 * gradient.abs().max().cpu()


def test_docstring_example(impl: str, device: torch.device) -> None:
    """Smooth or disk, and of a disk: bar or no bar."""
    tree = Tree((2, 2), (None, 1))
    logits = torch.tensor([[0, 3, 4, 0]], device=device).float().clamp(min=1).log()
    targets = torch.tensor([[0.2, 0.8, 0.5, 0.3]], device=device)
    assert leading(tree).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]
    assert tree_probabilities(logits, tree)[0].tolist() == pytest.approx([0.25, 0.75, 0.6, 0.15])
    assert tree_mse(logits, targets, tree, impl=impl).item() == pytest.approx(0.0375 / 4, rel=2e-5)


@pytest.mark.parametrize("name", FORESTS)
def test_tree_probabilities(name: str, device: torch.device) -> None:
    tree = FORESTS[name]
    logits, _, _ = make_inputs(tree, 5, False, device)
    got = tree_probabilities(logits, tree).double().cpu()
    assert got.numpy() == pytest.approx(oracle(logits.double().cpu(), tree).numpy(), rel=5e-6)
    for part, parent in zip(got.split(list(tree.sizes), dim=1), tree.parents, strict=True):
        above = torch.ones(5).double() if parent is None else got[:, parent]
        assert torch.allclose(part.sum(1), above, rtol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tree_mse_of_half_logits(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Computed in fp32 from the rounded logits; the gradient is rounded once, to their type."""
    logits, targets, weight = make_inputs(GALAXY_ZOO_2, 5, True, device)
    half = (logits.to(dtype), targets, weight)
    wide = (logits.to(dtype).float(), targets, weight)
    (loss, gradient), (wide_loss, wide_gradient) = (measured(one, GALAXY_ZOO_2, impl) for one in (half, wide))
    check(wide, GALAXY_ZOO_2, impl)
    assert torch.equal(loss, wide_loss)
    assert torch.equal(gradient, wide_gradient.to(dtype))


def test_tree_mse_gradient_survives_half_precision(impl: str, device: torch.device) -> None:
    """The upstream factor (a GradScaler's) acts before the cast: unscaled, these would round to zero in fp16."""
    logits = torch.zeros(512, 2, dtype=torch.float16, device=device, requires_grad=True)
    targets = torch.tensor([0.5 - 1e-4, 0.5], device=device).repeat(512, 1)
    (tree_mse(logits, targets, Tree((2,), (None,)), impl=impl) * 2.0**13).backward()
    want = 2 * 1e-4 * 0.25 / logits.numel() * 2**13
    assert ((logits.grad[:, 0].double() - want).abs() < 2e-3 * want).all()


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_tree_mse_of_extreme_logits(scale: float, impl: str, device: torch.device) -> None:
    """Certain and impossible answers, parents that are 0 in fp32, targets 0 and 1: value and gradient are numbers."""
    generator = torch.Generator().manual_seed(4)
    logits = scale * torch.randint(-1, 2, (40, 37), generator=generator).float()
    targets = torch.randint(0, 2, (40, 37), generator=generator).float()
    inputs = (logits.to(device), targets.to(device), None)
    loss, gradient = measured(inputs, GALAXY_ZOO_2, impl)
    assert (oracle(logits, GALAXY_ZOO_2)[:, list(filter(None, PARENTS))] == 0).any()
    assert loss.item() == pytest.approx(exact(*inputs, GALAXY_ZOO_2)[0].item(), rel=1e-5)
    assert gradient.isfinite().all()
    assert (gradient.double() - exact(*inputs, GALAXY_ZOO_2)[1]).abs().max() < 1e-6


def test_tree_mse_of_a_batch_and_its_halves(impl: str, device: torch.device) -> None:
    """The loss is a mean, so a half's gradient is twice the batch's: bit for bit, as the factor is a power of two."""
    logits, targets, weight = make_inputs(GALAXY_ZOO_2, 300, True, device)
    loss, gradient = measured((logits, targets, weight), GALAXY_ZOO_2, impl)
    halves = [
        measured((logits[half], targets[half], weight), GALAXY_ZOO_2, impl) for half in (slice(150), slice(150, 300))
    ]
    assert torch.equal(torch.cat([half[1] for half in halves]), 2 * gradient)
    assert sum(half[0].item() for half in halves) / 2 == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("rows", [7, 300])
def test_tree_mse_is_repeatable(rows: int, impl: str, device: torch.device) -> None:
    inputs = make_inputs(GALAXY_ZOO_2, rows, True, device)
    first = measured(inputs, GALAXY_ZOO_2, impl)
    assert all(torch.equal(a, b) for a, b in zip(first, measured(inputs, GALAXY_ZOO_2, impl), strict=True))


@pytest.mark.parametrize(("rows", "programs"), [(1, 1), (128, 1), (129, 2)])
def test_tree_mse_is_one_launch(rows: int, programs: int, launches, device: torch.device) -> None:
    """Value and gradient."""
    noted = launches(fused)
    measured(make_inputs(GALAXY_ZOO_2, rows, False, device), GALAXY_ZOO_2, "triton")
    assert noted == [("_tree_mse_kernel", (programs,))]


@pytest.mark.parametrize("weighted", [False, True])
def test_tree_mse_gradcheck(weighted: bool) -> None:
    """Finite differences: the reference computes in float64 where the logits are."""
    logits, targets, weight = make_inputs(FORESTS["bush"], 3, weighted, torch.device("cpu"))
    arguments = (targets.double(), FORESTS["bush"], None if weight is None else weight.double())
    z = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: reference.tree_mse(z, *arguments), (z,))


@pytest.mark.parametrize("weighted", [False, True])
def test_op_is_registered_soundly(weighted: bool, device: torch.device) -> None:
    arguments = (*make_inputs(FORESTS["bush"], 7, weighted, device), [3, 2, 2, 5, 2, 3], [-1, 0, 2, -1, 7, 4])
    torch.library.opcheck(torch.ops.galaxy_triton.tree_mse.default, arguments)


def test_tree_mse_inside_a_compiled_graph(impl: str, device: torch.device) -> None:
    """Loss and backward as the end of a network, with no break of the graph."""
    logits, targets, weight = make_inputs(GALAXY_ZOO_2, 16, True, device)
    factor = torch.tensor(1.5, device=device, requires_grad=True)

    def step(factor: Tensor) -> Tensor:
        return tree_mse(logits * factor, targets, GALAXY_ZOO_2, weight=weight, impl=impl)

    (want,) = torch.autograd.grad(step(factor), factor)
    loss = torch.compile(step, fullgraph=True, backend="aot_eager")(factor)
    torch.testing.assert_close(loss, step(factor), rtol=1e-6, atol=0)
    (got,) = torch.autograd.grad(loss, factor)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)
