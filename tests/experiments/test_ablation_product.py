"""The rate of matrix products, and the operations of a step: figures that were worked out elsewhere."""

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Network
from galaxy_triton.experiments import ablation_product
from galaxy_triton.experiments.ablation_product import product_tflops, step_flops


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_measurement_changes_nothing_else(
    device: torch.device, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither torch's switch for TF32 nor its random numbers."""
    monkeypatch.setattr(ablation_product, "SIDES", {"cuda": 256, "cpu": 128})
    before, state = torch.get_float32_matmul_precision(), torch.get_rng_state()
    assert 1e-5 < product_tflops(device, dtype) < 1e4  # above a pocket calculator, below any machine
    assert torch.get_float32_matmul_precision() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_flops_of_one_convolution() -> None:
    """Counted by hand: no gradient for the views, two products for every other layer's backward pass."""
    convolution, linear = 2 * 8 * 8 * 16 * 3 * 9, 2 * 16 * 37
    network = Network(widths=(16,), convs=1, hidden=0)
    assert step_flops(network, 5, 8) == 5 * (2 * convolution + 3 * linear)


def test_flops_of_the_seed_recipe() -> None:
    """Two convolutions a block at 128 px: 21.86 GFLOP an image, forward and backward."""
    assert step_flops(SEED.network, 2, SEED.augmentation.size) / 2 == pytest.approx(21.86e9, rel=5e-4)
