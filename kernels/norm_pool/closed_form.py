"""The end of a VGG block in plain torch, with most of the work done on a quarter of the data.

x̂ = (x - μ) r,  r = 1/√(σ² + ε);  y = the maximum over a window of max(γ x̂ + β, 0).

What does not decrease commutes with a maximum, so with e the x of the window where sign(γ) x is largest,
y = max(γ ê + β, 0). For γ = 0 all of a window are equal, and e is the first. With g = dL/dy where y > 0, else 0:

dL/dβ = Σ g;  dL/dγ = Σ g ê;  dL/dx = γ r (g where x was chosen, else 0) - γ r (x̂ dL/dγ + dL/dβ) / n.

The sums are over windows, n counts pixels. The last term is again a batch norm of x, by which dL/dx is one pass.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import autograd, reference


def _forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> autograd.Forward:
    wide = x.to(weight.dtype)
    mean, var = _moments(wide)
    extremum, place = _extrema(wide, weight)
    y = F.batch_norm(extremum, mean, var, weight, bias, eps=eps).relu_()
    return y.to(x.dtype), extremum, place, mean, var


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C]."""
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        # var_mean takes seven times as long there; the compiler does not know this one.
        return torch.batch_norm_update_stats(x, None, None, 0.0)
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return mean, var


def _extrema(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of each window the x that is chosen, [B, C, h, w], and where it lies in its image, int64 [B, h w C]."""
    if _all_positive(weight):
        extremum, index = F.max_pool2d(x, 2, return_indices=True)
        return extremum, _places(index)
    _, index = F.max_pool2d(x * weight.sign()[:, None, None], 2, return_indices=True)
    place = _places(index)
    return _flat(x).gather(1, place).view(len(x), *index.shape[2:], -1).permute(0, 3, 1, 2), place


def _all_positive(weight: Tensor) -> bool:
    """Whether all weights are known to be positive; read on the CPU only, as the host would wait for another device."""
    return weight.device.type == "cpu" and not torch.compiler.is_compiling() and bool((weight > 0).all())


def _places(index: Tensor) -> Tensor:
    """From places in a plane, as max pooling gives them, to places in an image of channels_last."""
    channels = index.shape[1]
    place = index.permute(0, 2, 3, 1) * channels
    return place.add_(torch.arange(channels, device=index.device)).flatten(1)


def _flat(images: Tensor) -> Tensor:
    """[B, C, H, W] in channels_last as [B, H W C], the same memory."""
    return images.permute(0, 2, 3, 1).view(len(images), -1)


def _backward(
    upstream: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    extremum: Tensor,
    place: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.ops.aten.threshold_backward(upstream, y, 0).to(weight.dtype)
    by_bias = g.sum((0, 2, 3))
    by_weight = F.batch_norm(extremum, mean, var, eps=eps).mul_(g).sum((0, 2, 3))
    scale = weight * (var + eps).rsqrt()
    share = scale * (-x.shape[1] / x.numel())
    by_x = F.batch_norm(x.to(weight.dtype), mean, var, share * by_weight, share * by_bias, eps=eps)
    _flat(by_x).scatter_add_(1, place, _flat(g * scale[:, None, None]))
    return by_x.to(x.dtype), by_weight, by_bias


_STEPS = autograd.Steps(_forward, _backward)


def norm_relu_pool(
    x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> Tensor:
    """As the reference, but differentiable once; where it is compiled the reference itself, which compilers fuse."""
    if torch.compiler.is_compiling():
        return reference.norm_relu_pool(x, weight, bias, running_mean, running_var, momentum, eps)
    return autograd.norm_relu_pool(_STEPS, x, weight, bias, running_mean, running_var, momentum, eps)
