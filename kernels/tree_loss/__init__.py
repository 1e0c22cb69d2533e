"""The decision-tree head: softmax inside each question, times the answers that lead to it.

`tree_mse` has no Triton kernel yet; "torch" and "compile" are its implementations.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import require, require_tensor

__all__ = ["IMPLEMENTATIONS", "Tree", "tree_mse", "tree_probabilities"]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


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
        require(len(self.sizes) == len(self.parents), "as many parents as sizes", len(self.parents), "Tree", "match")
        start = 0
        for number, (size, parent) in enumerate(zip(self.sizes, self.parents, strict=True)):
            where = f"Tree, question {number}"
            require(size >= 1, "at least one answer", size, where, "remove the question")
            earlier = parent is None or 0 <= parent < start
            require(earlier, f"a parent column below {start}", parent, where, "order parents before children")
            start += size

    @property
    def parent_of_answers(self) -> tuple[int | None, ...]:
        """For each of the K columns, the column it hangs from."""
        pairs = zip(self.sizes, self.parents, strict=True)
        return tuple(parent for size, parent in pairs for _ in range(size))


def tree_mse(
    logits: Tensor, targets: Tensor, tree: Tree, *, weight: Tensor | None = None, impl: str = "torch"
) -> Tensor:
    """The mean over B*K of w_k (p - y)^2, p = exp(A @ log_softmax_by_question(z)), in fp32.

    A is K x K of zeros and ones and says which answers lead to which: row k has a one at k and at each ancestor of k.
    An example: question 1 has the answers (smooth, disk), question 2 (bar, no bar) hangs from disk. The columns are
    (smooth, disk, bar, no bar) and A = [[1 0 0 0], [0 1 0 0], [0 1 1 0], [0 1 0 1]]: the log of "bar" is log of "disk"
    plus log of "bar, given a disk", so bar + no bar = disk whatever the logits are.

    Args:
        logits: float32, float16 or bfloat16 [B, K], B >= 1; differentiable.
        targets: float32 [B, K].
        tree: of K answers.
        weight: float32 [K] or None for ones.
        impl: "torch" or "compile".

    Returns:
        fp32 scalar.

    Raises:
        ValueError: a shape, dtype, device or choice other than these.
    """
    require(impl in IMPLEMENTATIONS, "one of " + ", ".join(IMPLEMENTATIONS), repr(impl), "impl", "choose one")
    require_tensor(logits, "logits", (None, sum(tree.sizes)), DTYPES, logits.device)
    require(logits.numel() > 0, "at least one row", list(logits.shape), "logits", "skip an empty batch")
    require_tensor(targets, "targets", tuple(logits.shape), (torch.float32,), logits.device)
    if weight is not None:
        require_tensor(weight, "weight", (logits.shape[1],), (torch.float32,), logits.device)
    return IMPLEMENTATIONS[impl]()(logits, targets, tree, weight)


def tree_probabilities(logits: Tensor, tree: Tree) -> Tensor:
    """The tree head's answers: [B, K] -> fp32 [B, K], each question summing to the answer it hangs from."""
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


IMPLEMENTATIONS: dict[str, Callable[[], Loss]] = {"torch": _torch, "compile": _compile}
