"""What a device can do and a step asks for: figures that were worked out elsewhere, and ratios that must hold."""

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Network
from galaxy_triton.experiments import profile_ceilings as ceilings
from galaxy_triton.experiments.profile_ceilings import Ceilings, measure, mfu, sheet, step_flops


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_measure(device: torch.device, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torch's switch for TF32 nor its random numbers are changed."""
    monkeypatch.setattr(ceilings, "SIDES", {"cuda": 256, "cpu": 128})
    before, state = torch.get_float32_matmul_precision(), torch.get_rng_state()
    found = measure(device, dtype)
    assert 1e-5 < found.matmul_tflops < 1e4  # above a pocket calculator, below any machine
    assert torch.get_float32_matmul_precision() == before
    assert torch.equal(torch.get_rng_state(), state)
    if device.type == "cpu":
        precision = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
        assert found == Ceilings(precision, found.matmul_tflops, None, "cpu")


def test_compare() -> None:
    assert Ceilings("fp32", 0.5, None, "cpu").compare(0.1).startswith("20.0% of")
    assert "10.0% of the data sheet" in Ceilings("bf16", 700, 989, "H100 PCIe").compare(98.9)


@pytest.mark.parametrize(
    ("gpu", "precision", "want"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989),
        ("NVIDIA H100 80GB HBM3", "tf32", 494),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA H200", "fp16", 989),
        ("NVIDIA A100-SXM4-40GB", "bf16", 312),
        ("NVIDIA A100 80GB PCIe", "fp32", 19.5),
        ("NVIDIA A10", "bf16", 125),
        ("NVIDIA L4", "bf16", 121),
        ("NVIDIA L40S", "bf16", 362),
        ("Tesla T4", "fp16", 65),
        ("Tesla V100-SXM2-16GB", "fp16", 125),
        ("NVIDIA GeForce RTX 4090", "bf16", 165),
        ("NVIDIA B200", "bf16", 2250),
        # Known, but not in this precision.
        ("Tesla T4", "bf16", None),
        ("NVIDIA B200", "fp32", None),
        # Another chip, or a part of one, of nearly the same name.
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bf16", None),
        ("NVIDIA H100 NVL", "bf16", None),
        ("NVIDIA H200 NVL", "bf16", None),
        ("NVIDIA GH200 480GB", "bf16", None),
        ("NVIDIA A10G", "bf16", None),
        ("NVIDIA A10-24Q", "bf16", None),
        ("NVIDIA L40", "bf16", None),
        ("NVIDIA GeForce RTX 4090 D", "bf16", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16", None),
        ("NVIDIA A100-SXM-64GB", "bf16", None),
        ("cpu", "fp32", None),
    ],
)
def test_data_sheet(gpu: str, precision: str, want: float | None) -> None:
    name, tflops = sheet(gpu, precision)
    assert tflops == want
    assert name in gpu


def test_a_sheet_is_of_one_gpu() -> None:
    for name in ceilings.SHEETS:
        assert sheet(f"NVIDIA {name}", "fp16") == (name, ceilings.SHEETS[name]["fp16"])


def test_flops_of_one_convolution() -> None:
    """Counted by hand: no gradient for the views, two products for every other layer's backward pass."""
    convolution, linear = 2 * 8 * 8 * 16 * 3 * 9, 2 * 16 * 37
    network = Network(widths=(16,), convs=1, hidden=0)
    assert step_flops(network, 5, 8) == 5 * (2 * convolution + 3 * linear)


def test_flops_of_the_seed_recipe() -> None:
    """Two convolutions a block at 128 px: 21.86 GFLOP an image, forward and backward."""
    assert step_flops(SEED.network, 2, SEED.augmentation.size) / 2 == pytest.approx(21.86e9, rel=5e-4)


def test_mfu() -> None:
    assert mfu(images_per_s=20_000, flops_per_image=21.86e9, peak_tflops=989) == pytest.approx(0.442, abs=1e-3)
