"""Fused augmentation and head losses for tensors; each by name in plain torch, torch.compile or Triton.

Importing this needs torch only: a Triton kernel is loaded when `impl="triton"` asks for it.
"""

from .augmentation import AugmentDraw, AugmentParams, Ranges, augment, sample, view_affine
from .augmentation import IMPLEMENTATIONS as AUGMENT_IMPLEMENTATIONS
from .availability import unavailable
from .sigmoid_loss import IMPLEMENTATIONS as SIGMOID_IMPLEMENTATIONS
from .sigmoid_loss import sigmoid_mse

__all__ = [
    "AUGMENT_IMPLEMENTATIONS",
    "SIGMOID_IMPLEMENTATIONS",
    "AugmentDraw",
    "AugmentParams",
    "Ranges",
    "augment",
    "sample",
    "sigmoid_mse",
    "unavailable",
    "view_affine",
]
