"""What becomes of a network's answers to V views of a galaxy: their mean, and how the conditional fractions spread."""

import functools

import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import SPANS


def mean(views: Tensor) -> Tensor:
    """The mean over views: fp32 [V, B, 37] -> [B, 37]."""
    # one after the other: a sum over the dimension may take another order for another batch
    total: Tensor = functools.reduce(torch.add, views.unbind())
    return total / len(views)


def mean_and_spread(views: Tensor) -> Tensor:
    """The mean over views and, beside it, the spread of the conditional fractions: fp32 [V, B, 37] -> [B, 74].

    The conditional fraction of a view is c = p / w, w being the sum of the question's answers p: the fraction of people
    it would ask. Of all views together it is Σ p / Σ w, the mean of the c weighted by w, and the spread is the standard
    deviation about it, sqrt(Σ w (c - Σ p / Σ w)² / Σ w): a view that asks nobody has no say. NaN of a single view.
    """
    weights = _question_sums(views).clamp(min=torch.finfo(views.dtype).tiny)
    people = weights.sum(dim=0)
    distances = views / weights - views.sum(dim=0) / people
    spread = ((weights * distances.square()).sum(dim=0) / people).sqrt()
    return torch.cat([mean(views), spread if len(views) > 1 else torch.full_like(spread, torch.nan)], dim=1)


def _question_sums(answers: Tensor) -> Tensor:
    """At each answer the sum of its question's answers, in the last dimension."""
    parts = [answers[..., span] for span in SPANS]
    return torch.cat([part.sum(dim=-1, keepdim=True).expand_as(part) for part in parts], dim=-1)
