"""The end of a VGG block in plain torch: the specification, and an implementation to use."""

import torch.nn.functional as F
from torch import Tensor


def norm_relu_pool(
    x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> Tensor:
    """max_pool2d(relu(batch_norm(x))) over windows of 2x2; the running statistics move by `momentum`."""
    normal = F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)
    return F.max_pool2d(F.relu(normal), 2)
