"""The tree head in plain torch: the specification, and an implementation to use."""

from __future__ import annotations

import typing

import torch
from torch import Tensor

if typing.TYPE_CHECKING:
    from . import Tree


def tree_mse(logits: Tensor, targets: Tensor, tree: Tree, weight: Tensor | None) -> Tensor:
    """mean over B*K of w_k (p - y)^2 with p of `tree_probabilities`, in fp32 (float64 for float64 logits)."""
    error = tree_probabilities(logits, tree) - targets
    square = error * error
    return square.mean() if weight is None else (square * weight).mean()


def tree_probabilities(logits: Tensor, tree: Tree) -> Tensor:
    """p = exp(A @ log_softmax_by_question(z)): [B, K] -> fp32 [B, K], or float64 for float64."""
    # not torch.promote_types: torch 2.6's export makes an operation of it that it cannot load
    wide = logits.double() if logits.dtype == torch.float64 else logits.float()
    parts = torch.split(wide, list(tree.sizes), dim=1)
    place = [(number, answer) for number, size in enumerate(tree.sizes) for answer in range(size)]
    totals: list[Tensor] = []  # [B, answers] of each question: its part of A @ logs, which adds few terms
    for part, parent in zip(parts, tree.parents, strict=True):
        logs = torch.log_softmax(part, dim=1)
        if parent is not None:
            question, answer = place[parent]
            logs = logs + totals[question][:, answer : answer + 1]
        totals.append(logs)
    return torch.cat(totals, dim=1).exp()
