"""tree_mse: value and gradient inside an error budget around float64, on every shape of tree."""

import random

import pytest
import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES
from galaxy_triton.kernels import Tree, tree_mse, tree_probabilities
from tests.kernels.loss_oracle import UNIT, budget, exact, leading, probabilities, value_and_gradient

Inputs = tuple[Tensor, Tensor, Tensor | None]


def random_tree(levels: tuple[int, ...], seed: int = 5) -> Tree:
    """So many questions on each level, of one to nine answers each, hanging from any answer of the level above."""
    rng = random.Random(seed)
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
    "four levels": random_tree((5, 1, 3, 4), seed=2),
    "Galaxy Zoo 2": GALAXY_ZOO_2,
}


def make_inputs(tree: Tree, rows: int, weighted: bool, device: torch.device) -> Inputs:
    generator = torch.Generator().manual_seed(rows)
    shape = (rows, sum(tree.sizes))
    logits = torch.randn(shape, generator=generator) * 3
    targets = torch.rand(shape, generator=generator)
    weight = torch.rand(shape[1], generator=generator) + 0.1 if weighted else None
    return logits.to(device), targets.to(device), None if weight is None else weight.to(device)


def measured(inputs: Inputs, tree: Tree, impl: str) -> tuple[Tensor, Tensor]:
    """Loss and gradient by an implementation."""
    logits, targets, weight = inputs
    return value_and_gradient(lambda z: tree_mse(z, targets, tree, weight=weight, impl=impl), logits)


def check(inputs: Inputs, tree: Tree, impl: str) -> None:
    for want, got, slack in zip(exact(*inputs, tree), measured(inputs, tree, impl), budget(*inputs, tree), strict=True):
        assert got.dtype == torch.float32
        # The last step, times UPSTREAM, is rounded too.
        assert ((got.double() - want).cpu().abs() <= slack + 2 * UNIT * want.cpu().abs()).all()


@pytest.mark.parametrize(("name", "weighted"), [*((name, True) for name in FORESTS), ("Galaxy Zoo 2", False)])
def test_tree_mse(name: str, weighted: bool, impl: str, device: torch.device) -> None:
    check(make_inputs(FORESTS[name], 5, weighted, device), FORESTS[name], impl)


@pytest.mark.parametrize("rows", [1, 300])
def test_tree_mse_of_batches(rows: int, device: torch.device) -> None:
    """One row; two programs and a part of a third."""
    check(make_inputs(GALAXY_ZOO_2, rows, True, device), GALAXY_ZOO_2, "triton")


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


@pytest.mark.parametrize("name", ["two roots", "bush", "Galaxy Zoo 2"])
def test_tree_probabilities(name: str, device: torch.device) -> None:
    tree = FORESTS[name]
    logits, _, _ = make_inputs(tree, 5, False, device)
    got = tree_probabilities(logits, tree).double().cpu()
    assert got.numpy() == pytest.approx(probabilities(logits.double().cpu(), tree).numpy(), rel=5e-6)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(100.0, torch.float32), (2.0**13, torch.float16), (2.0**13, torch.bfloat16)]
)
def test_tree_mse_of_extreme_logits(scale: float, dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Certain and impossible answers, parents that are 0 in fp32, targets 0 and 1: value and gradient are numbers."""
    generator = torch.Generator().manual_seed(4)
    logits = scale * torch.randint(-1, 2, (40, 37), generator=generator).float()
    targets = torch.randint(0, 2, (40, 37), generator=generator).float()
    inputs = (logits.to(device, dtype), targets.to(device), None)
    loss, gradient = measured(inputs, GALAXY_ZOO_2, impl)
    want_loss, want_gradient = exact(*inputs, GALAXY_ZOO_2)
    assert (probabilities(logits, GALAXY_ZOO_2)[:, [parent for parent in PARENTS if parent is not None]] == 0).any()
    assert loss.item() == pytest.approx(want_loss.item(), rel=1e-5)
    assert gradient.isfinite().all()
    allowed = 1e-6 + torch.finfo(dtype).eps * want_gradient.abs()
    assert ((gradient.double() - want_gradient).abs() <= allowed).all()


def test_tree_mse_below_an_impossible_answer(impl: str, device: torch.device) -> None:
    """By hand: p = (1, 0, 0, 0) exactly, so what hangs from the 0 is 0 whatever its logits, and nothing has a slope."""
    logits = torch.tensor([[200.0, 0.0, 3.0, -3.0]], device=device)
    targets = torch.tensor([[0.5, 0.25, 1.0, 0.0]], device=device)
    loss, gradient = measured((logits, targets, None), Tree((2, 2), (None, 1)), impl)
    assert loss.item() == (0.25 + 0.0625 + 1) / 4
    assert torch.equal(gradient, torch.zeros_like(gradient))


def chain(questions: int) -> Tree:
    """Each question hangs from the first answer of the one before."""
    return Tree((2,) * questions, (None, *(2 * number for number in range(questions - 1))))


LARGEST = [
    (Tree((1024,), (None,)), 1 / 1024**2),
    (Tree((2,) * 64, (None,) * 64), 1 / 4),
    (chain(8), sum(1 / 4**level for level in range(1, 9)) / 8),
]


@pytest.mark.parametrize(("tree", "loss"), LARGEST, ids=["answers", "questions", "levels"])
def test_largest_trees_are_taken(tree: Tree, loss: float, impl: str, device: torch.device) -> None:
    """Of logits 0 each softmax is 1 / size, so p is that to the power of the level."""
    zeros = torch.zeros(3, sum(tree.sizes), device=device)
    assert tree_mse(zeros, zeros, tree, impl=impl).item() == pytest.approx(loss, rel=1e-5)
