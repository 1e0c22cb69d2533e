"""tree_mse on any forest: value, gradient and sums against float64, and its messages."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import TREE_IMPLEMENTATIONS, Tree, tree_mse, tree_probabilities
from galaxy_triton.questions import PARENTS, SIZES

FORESTS = {
    "one question": Tree((3,), (None,)),
    "one answer": Tree((1,), (None,)),
    "two roots": Tree((2, 4), (None, None)),
    "chain of three": Tree((2, 3, 2, 2), (None, 1, 4, 6)),
    "bush": Tree((3, 2, 2, 5, 2, 3), (None, 0, 2, None, 7, 4)),
    "answers alone": Tree((1, 1, 1), (None, 0, 1)),
    "Galaxy Zoo 2": Tree(SIZES, PARENTS),
}
IMPLS = [impl for impl in TREE_IMPLEMENTATIONS if impl != "compile"]  # the compiler is tried in a process of its own


def oracle(logits: Tensor, tree: Tree) -> Tensor:
    """Answer by answer, in float64: its share of its question, times the answer above, times the one above that."""
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


def tensors(tree: Tree, rows: int = 5, scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    shape = (rows, sum(tree.sizes))
    logits = scale * torch.randn(shape, generator=generator)
    return logits, torch.rand(shape, generator=generator), torch.rand(shape[1], generator=generator)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", FORESTS)
def test_tree_mse(name: str, weighted: bool, impl: str, device: torch.device) -> None:
    """Value and gradient, the latter through an upstream factor."""
    tree = FORESTS[name]
    logits, targets, weight = tensors(tree)
    exact = logits.double().requires_grad_()
    want = ((oracle(exact, tree) - targets) ** 2 * (weight if weighted else 1)).mean()
    (3 * want).backward()
    leaf = logits.to(device).requires_grad_()
    got = tree_mse(leaf, targets.to(device), tree, weight=weight.to(device) if weighted else None, impl=impl)
    (3 * got).backward()
    assert (got.dtype, got.shape) == (torch.float32, ())
    assert got.item() == pytest.approx(want.item(), rel=2e-6)
    assert torch.allclose(leaf.grad.cpu().double(), exact.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tree_mse_of_short_floats(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Computed in fp32: the loss is that of the rounded logits, the gradient is rounded once."""
    tree = FORESTS["bush"]
    logits, targets, _ = tensors(tree)
    leaf = logits.to(device, dtype).requires_grad_()
    exact = logits.to(dtype).double().requires_grad_()
    loss = tree_mse(leaf, targets.to(device), tree, impl=impl)
    loss.backward()
    want = ((oracle(exact, tree) - targets) ** 2).mean()
    want.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(want.item(), rel=2e-6)
    assert leaf.grad.dtype == dtype
    assert torch.allclose(leaf.grad.cpu().double(), exact.grad, rtol=torch.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize("impl", IMPLS)
def test_tree_mse_of_extreme_logits(impl: str, device: torch.device) -> None:
    """A certain answer or an impossible one gives numbers, and a right answer no gradient."""
    tree = FORESTS["chain of three"]
    logits, targets, _ = tensors(tree, scale=1e4)
    leaf = logits.to(device).requires_grad_()
    loss = tree_mse(leaf, targets.to(device), tree, impl=impl)
    loss.backward()
    assert loss.item() == pytest.approx(((oracle(logits.double(), tree) - targets) ** 2).mean().item(), rel=2e-6)
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("name", FORESTS)
def test_tree_probabilities(name: str) -> None:
    tree = FORESTS[name]
    logits, _, _ = tensors(tree)
    got = tree_probabilities(logits, tree)
    assert got.double().numpy() == pytest.approx(oracle(logits.double(), tree).numpy(), rel=2e-6)
    parts = got.double().split(list(tree.sizes), dim=1)
    for part, parent in zip(parts, tree.parents, strict=True):
        above = torch.ones(5).double() if parent is None else got[:, parent].double()
        assert torch.allclose(part.sum(1), above, rtol=1e-6)


def _mse(logits: tuple[int, ...] | Tensor = (2, 3), targets: tuple[int, ...] | Tensor = (2, 3), **options: object):
    tensors = [torch.zeros(one) if isinstance(one, tuple) else one for one in (logits, targets)]
    return lambda: tree_mse(*tensors, Tree((3,), (None,)), **options)


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: Tree((2, 2), (None,)), "Expected as many parents as sizes, got 1 (Tree): match"),
    (lambda: Tree((2, 0), (None, 0)), "Expected at least one answer, got 0 (Tree, question 1): remove the question"),
    (lambda: Tree((2, 2), (None, 2)), "Expected a parent column below 2, got 2 (Tree, question 1): order parents"),
    (lambda: Tree((2, 2), (None, -1)), "Expected a parent column below 2, got -1 (Tree, question 1): order parents"),
    (lambda: Tree((2,), (0,)), "Expected a parent column below 0, got 0 (Tree, question 0): order parents"),
    (_mse(impl="eager"), f"Expected one of {', '.join(TREE_IMPLEMENTATIONS)}, got 'eager' (impl): choose one"),
    (_mse(logits=(2, 4)), "Expected shape [any, 3], got [2, 4] (logits): reshape it"),
    (_mse(logits=(0, 3)), "Expected at least one row, got [0, 3] (logits): skip an empty batch"),
    (_mse(logits=torch.zeros(2, 3).double()), "Expected float32 or float16 or bfloat16, got float64 (logits)"),
    (_mse(targets=(3, 3)), "Expected shape [2, 3], got [3, 3] (targets): reshape it"),
    (_mse(targets=torch.zeros(2, 3).half()), "Expected float32, got float16 (targets): convert it"),
    (_mse(weight=torch.ones(2)), "Expected shape [3], got [2] (weight): reshape it"),
]


@pytest.mark.parametrize(("use", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_use_is_explained(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        use()
