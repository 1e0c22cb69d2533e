"""sigmoid_mse: value and gradient inside an error budget around float64."""

import pytest
import torch

from galaxy_triton.kernels import sigmoid_mse
from tests.kernels.loss_oracle import exact, sigmoid_budget, value_and_gradient

# A single value, less than a warp, a usual batch, two programs and a part of a third.
SHAPES = [(1, 1), (3, 5), (256, 37), (900, 37)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigmoid_mse(shape: tuple[int, int], weighted: bool, impl: str, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    logits = (torch.randn(shape, generator=generator) * 3).to(device)
    targets = torch.rand(shape, generator=generator).to(device)
    weight = (torch.rand(shape[1], generator=generator) + 0.1).to(device) if weighted else None
    got = value_and_gradient(lambda z: sigmoid_mse(z, targets, weight=weight, impl=impl), logits)
    want, allowed = exact(logits, targets, weight, None), sigmoid_budget(logits, targets, weight)
    assert got[0].shape == ()
    for mine, true, slack in zip(got, want, allowed, strict=True):
        assert mine.dtype == torch.float32
        assert ((mine.double() - true).abs() <= slack).all()


# For -100 the kernel's exp overflows to the infinity that makes its sigmoid 0; only numpy, as interpreter, says so.
@pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sigmoid_mse_of_extreme_logits(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    logits = torch.tensor([[-100.0, 100.0, 0.0, -30.0, 30.0]], device=device, dtype=dtype)
    targets = torch.tensor([[0.0, 1.0, 0.5, 1.0, 0.0]], device=device)
    loss, gradient = value_and_gradient(lambda z: sigmoid_mse(z, targets, impl=impl), logits)
    assert loss.item() == pytest.approx(0.4, abs=1e-6)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e-6
