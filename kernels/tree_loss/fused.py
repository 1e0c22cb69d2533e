"""Value and gradient of the tree head's mean squared error in one launch.

With the names of `_question`, for a question of the tree:

share = softmax of z inside the question;  p = share times the p of the answer that leads to the question, if any;
L = mean over B K of w (p - y)²;
slope = dL/d log p = 2 w (p - y) p / (B K) + the total of each question that the answer leads to;
total = the sum of slope over the question's answers;  dL/dz = slope - share total.

The compiler knows the tree, and the kernel walks it: p goes down, totals come up. A question is a tile [answers, rows],
so a sum over answers stays among a few threads, and registers hold one branch of the tree at a time. p is a product of
softmaxes, not the exp of a sum of logs: one exp for each logit, and p = 0 needs no care.

One program covers a small batch; above that there are many, each of which writes a partial sum.
"""

# ruff: noqa: B009
# Triton 3.2 reads a field of a constant by getattr only, and 3.6 no tuple that getattr returns.

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import loss_autograd
from ..availability import require_triton
from ..checks import require
from ..launch_settings import settings
from . import Tree

# More questions take minutes to compile, a deeper tree spills.
MAX_ANSWERS, MAX_QUESTIONS, MAX_LEVELS = 1024, 64, 8


@triton.jit(do_not_specialize=["rows"])
def _tree_mse_kernel(
    logits_ptr,  # [B, K]
    targets_ptr,  # fp32 [B, K]
    weight_ptr,  # fp32 [K]
    partial_ptr,  # fp32 [programs]
    gradient_ptr,  # fp32 [B, K]
    rows,  # B
    over_count,  # 1 / (B K)
    COLUMNS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    ROWS: tl.constexpr,
    FOREST: tl.constexpr,
):
    start = tl.program_id(0).to(tl.int64) * ROWS
    row = tl.arange(0, ROWS)
    place = start * COLUMNS
    squares = tl.zeros([ROWS], tl.float32)
    for root in tl.static_range(len(FOREST)):
        _, more = _question(
            logits_ptr + place,
            targets_ptr + place,
            weight_ptr,
            gradient_ptr + place,
            row * COLUMNS,
            row < rows - start,
            tl.full([ROWS], 1.0, tl.float32),
            over_count,
            WEIGHTED,
            getattr(FOREST, "child")(root),
            _question,
        )
        squares += more
    tl.store(partial_ptr + tl.program_id(0), tl.sum(squares, axis=0) * over_count)


@triton.jit
def _question(
    logits_ptr,
    targets_ptr,
    weight_ptr,
    gradient_ptr,
    first,  # [ROWS], where each row begins
    inside,  # [ROWS], whether the batch has this row
    above,  # fp32 [ROWS], p of the answer that the question hangs from
    over_count,
    WEIGHTED: tl.constexpr,
    QUESTION: tl.constexpr,
    VISIT: tl.constexpr,  # this function: Triton 3.2 cannot hash one that names itself
):
    """Write the gradient of a question and of all that hangs from it; its total and its squares, fp32 [ROWS] each."""
    answer = tl.arange(0, getattr(QUESTION, "width"))[:, None]
    real = answer < getattr(QUESTION, "size")
    column = getattr(QUESTION, "start") + answer
    place = first[None, :] + column
    mask = real & inside[None, :]
    share = _softmax(logits_ptr + place, real, mask)
    p = share * above[None, :]
    # A row outside the batch has a p too, so it must be cleared here.
    error = tl.where(mask, p - tl.load(targets_ptr + place, mask=mask, other=0.0), 0.0)
    weighted = error
    if WEIGHTED:
        weighted = error * tl.load(weight_ptr + column, mask=real, other=0.0)
    squares = tl.sum(weighted * error, axis=0)
    slope = 2.0 * weighted * p * over_count
    for child in tl.static_range(len(QUESTION)):
        leads = answer == getattr(getattr(QUESTION, "child")(child), "answer")
        slope_below, squares_below = VISIT(
            logits_ptr,
            targets_ptr,
            weight_ptr,
            gradient_ptr,
            first,
            inside,
            tl.sum(tl.where(leads, p, 0.0), axis=0),
            over_count,
            WEIGHTED,
            getattr(QUESTION, "child")(child),
            VISIT,
        )
        slope += tl.where(leads, slope_below[None, :], 0.0)
        squares += squares_below
    total = tl.sum(slope, axis=0)
    tl.store(gradient_ptr + place, slope - share * total[None, :], mask=mask)
    return total, squares


@triton.jit
def _softmax(logits_ptr, real, mask):
    """Over the real answers; those that fill up the tile get 0."""
    # Of -inf alone the softmax is NaN, so rows outside the batch are loaded as 0.
    z = tl.where(real, tl.load(logits_ptr, mask=mask, other=0.0).to(tl.float32), float("-inf"))
    e = tl.exp(z - tl.max(z, axis=0)[None, :])
    return e / tl.sum(e, axis=0)[None, :]


@dataclass(frozen=True)
class _Question:
    """What the kernel must know of a question.

    answer: which answer of the question above leads here. start, size: its columns. width: size up to a power of two.
    """

    answer: int
    start: int
    size: int
    width: int
    below: tuple["_Question", ...]

    def __len__(self) -> int:
        return len(self.below)

    def child(self, place: int) -> "_Question":
        return self.below[place]


@functools.cache
def _forest(sizes: tuple[int, ...], parents: tuple[int, ...]) -> _Question:
    """The tree in the order of the walk: the roots lie below a question that has no answers."""
    remedy = "choose impl='torch' or 'compile'"
    require(sum(sizes) <= MAX_ANSWERS, f"at most {MAX_ANSWERS} answers", sum(sizes), "tree", remedy)
    require(len(sizes) <= MAX_QUESTIONS, f"at most {MAX_QUESTIONS} questions", len(sizes), "tree", remedy)
    forest = _Question(0, 0, 0, 0, _hanging_from(range(-1, 0), sizes, parents))
    levels = _levels(forest) - 1
    require(levels <= MAX_LEVELS, f"at most {MAX_LEVELS} levels", levels, "tree", remedy)
    return forest


def _hanging_from(columns: range, sizes: tuple[int, ...], parents: tuple[int, ...]) -> tuple[_Question, ...]:
    found = []
    for number, (size, parent) in enumerate(zip(sizes, parents, strict=True)):
        if parent in columns:
            start = sum(sizes[:number])
            below = _hanging_from(range(start, start + size), sizes, parents)
            found.append(_Question(parent - columns.start, start, size, triton.next_power_of_2(size), below))
    return tuple(found)


def _levels(question: _Question) -> int:
    return 1 + max(map(_levels, question.below), default=0)


torch.library.define(
    "galaxy_triton::tree_mse",
    "(Tensor logits, Tensor targets, Tensor? weight, int[] sizes, int[] parents) -> (Tensor, Tensor)",
)


@torch.library.impl("galaxy_triton::tree_mse", ("cpu", "cuda"))
def _tree_mse(
    logits: Tensor, targets: Tensor, weight: Tensor | None, sizes: list[int], parents: list[int]
) -> tuple[Tensor, Tensor]:
    forest = _forest(tuple(sizes), tuple(parents))
    require_triton(logits.device)
    launch = settings(logits.device).tree
    # A tile is the widest question's answers times the rows of a program.
    rows = max(1, launch.tile // triton.next_power_of_2(max(sizes)))
    partial, gradient = loss_autograd.outputs(logits, triton.cdiv(len(logits), rows))
    # Triton launches on the current device, which need not be the tensors'.
    with torch.cuda.device_of(logits):
        _tree_mse_kernel[(partial.numel(),)](
            logits,
            targets,
            targets if weight is None else weight,
            partial,
            gradient,
            len(logits),
            1 / logits.numel(),
            COLUMNS=logits.shape[1],
            WEIGHTED=weight is not None,
            ROWS=rows,
            FOREST=forest,
            **launch.compiler_options,
        )
    return loss_autograd.total(partial), gradient


torch.library.register_fake("galaxy_triton::tree_mse", loss_autograd.fake)


def tree_mse(logits: Tensor, targets: Tensor, tree: Tree, weight: Tensor | None) -> Tensor:
    """As the reference; the gradient is written by the forward launch. ValueError for a tree beyond the limits."""
    # The op takes whole numbers only: -1 for no parent.
    parents = [-1 if parent is None else parent for parent in tree.parents]
    op = torch.ops.galaxy_triton.tree_mse
    loss: Tensor = loss_autograd.GradientFromForward.apply(op, logits, targets, weight, list(tree.sizes), parents)
    return loss
