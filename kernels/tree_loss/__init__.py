"""The decision-tree head: softmax inside each question, times the answers that lead to it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import FLOATS, device_of, require, require_choice, require_loss_inputs, require_tensor

__all__ = ["IMPLEMENTATIONS", "Tree", "tree_mse", "tree_probabilities"]


@dataclass(frozen=True)
class Tree:
    """A forest of questions.

    sizes: answers of each question; the columns of a table are the answers, question after question.
    parents: for each question the column of the answer that leads to it, or None. It belongs to an earlier question.

    Raises:
        ValueError: a question without answers, or one that hangs from itself or from a later question.
    """

    sizes: tuple[int, ...]
    parents: tuple[int | None, ...]

    def __post_init__(self) -> None:
        # The compiled kernels are found by the tree: it must have a hash.
        object.__setattr__(self, "sizes", tuple(self.sizes))
        object.__setattr__(self, "parents", tuple(self.parents))
        require(len(self.sizes) == len(self.parents), "as many parents as sizes", len(self.parents), "Tree", "match")
        start = 0
        for number, (size, parent) in enumerate(zip(self.sizes, self.parents, strict=True)):
            where = f"Tree, question {number}"
            require(size >= 1, "at least one answer", size, where, "remove the question")
            earlier = parent is None or 0 <= parent < start
            require(earlier, f"a parent column below {start}", parent, where, "order parents before children")
            start += size


def tree_mse(
    logits: Tensor, targets: Tensor, tree: Tree, *, weight: Tensor | None = None, impl: str = "triton"
) -> Tensor:
    """The mean over B*K of w_k (p - y)^2, p = exp(A @ log_softmax_by_question(z)), computed in fp32.

    A is the constraint matrix, K x K of zeros and ones: row k has a one at k and at each answer that leads to k. With
    it no row of p can break the tree, so the loss needs no penalty for that. An example with two questions: "smooth or
    disk?", and of a disk "bar or no bar?", which is Tree((2, 2), (None, 1)):

                   logits   softmax        A             p                  y       (p - y)^2
        smooth     0        1/4        [1 0 0 0]   1/4         = 0.25      0.20     0.0025
        disk       ln 3     3/4        [0 1 0 0]   3/4         = 0.75      0.80     0.0025
        bar        ln 4     4/5        [0 1 1 0]   3/4 * 4/5   = 0.60      0.50     0.0100
        no bar     0        1/5        [0 1 0 1]   3/4 * 1/5   = 0.15      0.30     0.0225

    The softmax is taken inside each question, so 1/4 + 3/4 = 1 and 4/5 + 1/5 = 1. A adds logs, so it multiplies: "bar"
    is log 3/4 + log 4/5. Hence bar + no bar = 0.75 = disk, whatever the logits are; the loss is 0.0375 / 4.

    Args:
        logits: float32, float16 or bfloat16 [B, K], contiguous, B >= 1; differentiable.
        targets: float32 [B, K], contiguous.
        tree: of K answers; for "triton" of at most 1024, in at most 64 questions on at most 8 levels.
        weight: float32 [K], contiguous, or None for ones.
        impl: "torch", "compile" or "triton".

    Returns:
        fp32 scalar. The same bits each time for the same input.

    Raises:
        ValueError: a shape, dtype, device, tree or choice other than these, or `impl` cannot run on the device.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require_choice(impl, IMPLEMENTATIONS, "impl")
    require_loss_inputs(logits, targets, weight, sum(tree.sizes))
    return IMPLEMENTATIONS[impl]()(logits, targets, tree, weight)


def tree_probabilities(logits: Tensor, tree: Tree) -> Tensor:
    """The tree head's probabilities.

    Args:
        logits: float32, float16, bfloat16 or float64 [B, K]; differentiable.
        tree: of K answers.

    Returns:
        fp32 [B, K], float64 for float64: the answers of a question sum to the answer that leads to it.

    Raises:
        ValueError: another shape or dtype.
    """
    require_tensor(logits, "logits", (None, sum(tree.sizes)), (*FLOATS, torch.float64), device_of(logits))
    from . import reference

    return reference.tree_probabilities(logits, tree)


Loss = Callable[[Tensor, Tensor, Tree, Tensor | None], Tensor]


def _torch() -> Loss:
    from . import reference

    return reference.tree_mse


@functools.cache
def _compile() -> Loss:
    from . import reference

    return torch.compile(reference.tree_mse)


def _triton() -> Loss:
    from . import fused

    return fused.tree_mse


IMPLEMENTATIONS: dict[str, Callable[[], Loss]] = {"torch": _torch, "compile": _compile, "triton": _triton}
