"""Fused augmentation, head losses and a VGG block's end; each by name in plain torch, torch.compile or Triton.

Importing this needs torch only: a Triton kernel is loaded when `impl="triton"` asks for it.
"""

from .augmentation import IMPLEMENTATIONS as AUGMENT_IMPLEMENTATIONS
from .augmentation import AugmentDraw, AugmentParams, Ranges, augment, sample, view_affine
from .availability import unavailable
from .norm_pool import IMPLEMENTATIONS as NORM_POOL_IMPLEMENTATIONS
from .norm_pool import norm_relu_pool
from .norm_pool.module import NormReluPool
from .random_view import RandomView
from .sigmoid_loss import IMPLEMENTATIONS as SIGMOID_IMPLEMENTATIONS
from .sigmoid_loss import sigmoid_mse
from .tree_loss import IMPLEMENTATIONS as TREE_IMPLEMENTATIONS
from .tree_loss import Tree, tree_mse, tree_probabilities

__all__ = [
    "AUGMENT_IMPLEMENTATIONS",
    "NORM_POOL_IMPLEMENTATIONS",
    "SIGMOID_IMPLEMENTATIONS",
    "TREE_IMPLEMENTATIONS",
    "AugmentDraw",
    "AugmentParams",
    "NormReluPool",
    "RandomView",
    "Ranges",
    "Tree",
    "augment",
    "norm_relu_pool",
    "sample",
    "sigmoid_mse",
    "tree_mse",
    "tree_probabilities",
    "unavailable",
    "view_affine",
]
