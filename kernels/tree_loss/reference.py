"""The tree head in plain torch: the specification, and an implementation to use."""

from __future__ import annotations

import typing

import torch
from torch import Tensor

if typing.TYPE_CHECKING:
    from . import Tree


def tree_mse(logits: Tensor, targets: Tensor, tree: Tree, weight: Tensor | None) -> Tensor:
    """mean over B*K of w_k (p - y)^2 with p of `tree_probabilities`, in fp32."""
    error = tree_probabilities(logits, tree) - targets.float()
    square = error * error
    return square.mean() if weight is None else (square * weight).mean()


def tree_probabilities(logits: Tensor, tree: Tree) -> Tensor:
    """p = exp(A @ log_softmax_by_question(z)): [B, K] -> fp32 [B, K]."""
    parts = torch.split(logits.float(), list(tree.sizes), dim=1)
    by_question = [torch.log_softmax(part, dim=1) for part in parts]
    # A row of A has at most as many ones as the tree has levels: gathering them is exact, a matrix product need not be.
    logs = torch.cat(by_question, dim=1)
    total = logs
    above = tree.parent_of_answers
    while any(parent is not None for parent in above):
        known = torch.tensor([parent is not None for parent in above], device=logs.device)
        places = torch.tensor([parent or 0 for parent in above], device=logs.device)
        total = total + torch.where(known, logs[:, places], 0.0)
        above = tuple(None if parent is None else tree.parent_of_answers[parent] for parent in above)
    return total.exp()
