"""The sigmoid head's loss in plain torch: the specification, and an implementation to use."""

import torch
from torch import Tensor


def sigmoid_mse(logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
    """mean over B*K of w_k (sigmoid(z) - y)^2, in fp32."""
    error = torch.sigmoid(logits.float()) - targets.float()
    square = error * error
    return square.mean() if weight is None else (square * weight).mean()
