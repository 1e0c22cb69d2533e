"""Statistics over the V views of a galaxy: the mean answers, and the spread of the conditional fractions."""

import functools

import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import SPANS


def mean(views: Tensor) -> Tensor:
    """The mean over views: fp32 [V, B, 37] -> [B, 37]."""
    # One view after the other: torch's sum over a dimension may add in another order for another batch size.
    total: Tensor = functools.reduce(torch.add, views.unbind())
    return total / len(views)


def mean_and_spread(views: Tensor) -> Tensor:
    """The mean answers and, after them, the spread of the conditional fractions: fp32 [V, B, 37] -> [B, 74].

    In one view the conditional fraction of an answer p is c = p / w, where w is the sum of its question's answers. Over
    all views it is Σ p / Σ w, the mean of c weighted by w; the spread is the weighted standard deviation about it,
    sqrt(Σ w (c - Σ p / Σ w)² / Σ w). The spread of a single view is NaN.
    """
    weights = _question_sums(views).clamp(min=torch.finfo(views.dtype).tiny)
    people = weights.sum(dim=0)
    distances = views / weights - views.sum(dim=0) / people
    spread = ((weights * distances.square()).sum(dim=0) / people).sqrt()
    return torch.cat([mean(views), spread if len(views) > 1 else torch.full_like(spread, torch.nan)], dim=1)


def _question_sums(answers: Tensor) -> Tensor:
    """For each answer, the sum over the answers of its question: [..., 37] -> [..., 37]."""
    parts = [answers[..., span] for span in SPANS]
    return torch.cat([part.sum(dim=-1, keepdim=True).expand_as(part) for part in parts], dim=-1)
