"""The end of a VGG block as a module, in the place of a batch norm."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import number, require_choice
from . import IMPLEMENTATIONS, norm_relu_pool


class NormReluPool(nn.Module):
    """nn.BatchNorm2d, ReLU and nn.MaxPool2d(2) in one: x [B, C, H, W] -> [B, C, H // 2, W // 2].

    Its state is a batch norm's, under the same names: a checkpoint of one is a checkpoint of the other. It is not an
    nn.BatchNorm2d, so that no tool that replaces those, such as SyncBatchNorm, drops the ReLU and the pooling. In
    training `norm_relu_pool`, in evaluation the plain operations by the running statistics. What looks for batch norms,
    such as torch.optim.swa_utils.update_bn, passes it over.

    channels: C. eps, momentum: as in nn.BatchNorm2d; a momentum of None averages all batches alike.
    impl: of `norm_relu_pool`, which says what x may be and what is raised.

    Raises:
        ValueError: a value outside its range.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, momentum: float | None = 0.1, eps: float = 1e-5, impl: str = "triton") -> None:
        super().__init__()
        require_choice(impl, IMPLEMENTATIONS, "impl")
        self.momentum = None if momentum is None else number(momentum, 0, 1, "momentum")
        self.eps, self.impl = number(eps, 0, math.inf, "eps"), impl
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            normal = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
            return F.relu(F.max_pool2d(normal, 2))
        self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self._pooled(x, self.running_mean, self.running_var, self.momentum)
        # The share stays on the device: as a number it would have the host wait, and code compiled for each of them.
        share = 1 / self.num_batches_tracked
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        pooled = self._pooled(x, mean, var, 1.0)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)
        return pooled

    def _pooled(self, x: Tensor, mean: Tensor, var: Tensor, momentum: float) -> Tensor:
        return norm_relu_pool(x, self.weight, self.bias, mean, var, momentum=momentum, eps=self.eps, impl=self.impl)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}, momentum={self.momentum}, impl={self.impl!r}"
