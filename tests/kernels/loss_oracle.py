"""Both losses in float64, tree_mse written answer by answer, and how far from it fp32 may be."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from galaxy_triton.kernels import Tree

UPSTREAM = 3.7  # factor that the gradients are of
UNIT = 2.0**-24  # largest relative error of one fp32 rounding
TINY = 2.0**-120  # what is lost where fp32 underflows, and more


def value_and_gradient(loss_of: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of logits, and the gradient of UPSTREAM times that loss."""
    z = logits.detach().clone().requires_grad_()
    loss = loss_of(z)
    (UPSTREAM * loss).backward()
    return loss.detach(), z.grad


def exact(logits: Tensor, targets: Tensor, weight: Tensor | None, tree: Tree | None) -> tuple[Tensor, Tensor]:
    """Loss and gradient in float64; without a tree those of sigmoid_mse."""

    def loss_of(z: Tensor) -> Tensor:
        p = torch.sigmoid(z) if tree is None else probabilities(z, tree)
        square = (p - targets.double()) ** 2
        return (square if weight is None else square * weight.double()).mean()

    return value_and_gradient(loss_of, logits.double())


def sigmoid_budget(logits: Tensor, targets: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """The largest errors that fp32 may make in sigmoid_mse's loss and in each element of its gradient.

    exp(-z) is off by |z| + 4 roundings, but p (1 - p) |z| < 1/4: p is off by less than 4 of the number 1.
    """
    p = torch.sigmoid(logits.double())
    error, w = (p - targets.double()).abs(), 1.0 if weight is None else weight.double()
    loss = UNIT * (w * (8 * error + math.log2(2 * error.numel()) * error**2)).mean()
    gradient = UPSTREAM * 16 * UNIT * 2 * w * (p * (1 - p) + error) / error.numel()
    return loss + TINY, gradient + TINY


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
    p, share = probabilities(z, tree), torch.softmax(x.unsqueeze(1) + together.log(), dim=2).diagonal(dim1=1, dim2=2)
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


def probabilities(logits: Tensor, tree: Tree) -> Tensor:
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
