"""Trees and wrong use of tree_mse: a ValueError that says what was expected, what came and what to do."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import TREE_IMPLEMENTATIONS, Tree, tree_mse


def _mse(logits: tuple[int, ...] | Tensor = (2, 3), targets: tuple[int, ...] | Tensor = (2, 3), **options: object):
    tensors = [torch.zeros(one) if isinstance(one, tuple) else one for one in (logits, targets)]
    return lambda: tree_mse(*tensors, Tree((3,), (None,)), **options)


def _chain(questions: int) -> Tree:
    """Each question hangs from the first answer of the one before."""
    return Tree((2,) * questions, (None, *(2 * number for number in range(questions - 1))))


def _fused(tree: Tree) -> Callable[[], Tensor]:
    zeros = torch.zeros(1, sum(tree.sizes))
    return lambda: tree_mse(zeros, zeros, tree, impl="triton")


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
    (_mse(logits=torch.zeros(3, 2).T), "Expected contiguous memory, got (1, 2) (logits): call .contiguous()"),
    (_mse(targets=(3, 3)), "Expected shape [2, 3], got [3, 3] (targets): reshape it"),
    (_mse(targets=torch.zeros(2, 3).half()), "Expected float32, got float16 (targets): convert it"),
    (_mse(targets=torch.zeros(1, 3).expand(2, 3)), "Expected contiguous memory, got (0, 1) (targets)"),
    (_mse(weight=torch.ones(2)), "Expected shape [3], got [2] (weight): reshape it"),
    (_mse(weight=torch.ones(6)[::2]), "Expected contiguous memory, got (2,) (weight): call .contiguous()"),
    (_fused(Tree((1025,), (None,))), "Expected at most 1024 answers, got 1025 (tree): choose impl='torch' or"),
    (_fused(Tree((2,) * 65, (None,) * 65)), "Expected at most 64 questions, got 65 (tree): choose impl='torch' or"),
    (_fused(_chain(9)), "Expected at most 8 levels, got 9 (tree): choose impl='torch' or 'compile'"),
]


@pytest.mark.parametrize(("use", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_use_is_explained(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        use()


LARGEST = [
    (Tree((1024,), (None,)), 1 / 1024**2),
    (Tree((2,) * 64, (None,) * 64), 1 / 4),
    (_chain(8), sum(1 / 4**level for level in range(1, 9)) / 8),
]


@pytest.mark.parametrize(("tree", "loss"), LARGEST, ids=["answers", "questions", "levels"])
def test_largest_trees_are_taken(tree: Tree, loss: float, impl: str, device: torch.device) -> None:
    """Of logits 0 each softmax is 1 / size, so p is that to the power of the level."""
    zeros = torch.zeros(3, sum(tree.sizes), device=device)
    assert tree_mse(zeros, zeros, tree, impl=impl).item() == pytest.approx(loss, rel=1e-5)
