"""Colour as the challenge's winner drew it (benanne/kaggle-galaxies, `realtime_augmentation.py`): along the first
principal component of its pixels, the same for all pixels of a view."""

from dataclasses import fields

import torch
from torch import Tensor

from galaxy_triton.data.feed import Batch
from galaxy_triton.model.views import ViewMaker

COMPONENT = (-0.0148, -0.0125, -0.0104)  # red, green, blue; on a scale from 0 to 1
SPREAD = 0.5  # standard deviation of the factor


class Tinted(ViewMaker):
    """Random views to each of which a multiple of COMPONENT is added; the values are then clamped to [0, 1]."""

    def random(self, batch: Batch, seed: Tensor, epoch: Tensor, buffer: Tensor) -> Tensor:
        views = super().random(batch, seed, epoch, buffer)
        # torch's generator is seeded anew in each step.
        factors = SPREAD * torch.randn(len(views), 1, 1, 1, device=views.device, dtype=views.dtype)
        tint = torch.tensor(COMPONENT, device=views.device, dtype=views.dtype)[:, None, None]
        return views.add_(factors * tint).clamp_(0, 1)


def tinted(maker: ViewMaker) -> Tinted:
    """The same maker with the winner's colour."""
    return Tinted(**{field.name: getattr(maker, field.name) for field in fields(maker)})
