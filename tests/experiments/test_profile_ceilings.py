"""What a device can do and a step asks for: figures that were worked out elsewhere, and ratios that must hold."""

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Network
from galaxy_triton.experiments import profile_ceilings as ceilings
from galaxy_triton.experiments.profile_ceilings import Ceilings, least_bytes, measure, mfu, sheet, step_flops


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that take a moment."""
    monkeypatch.setattr(ceilings, "SIDES", {"cuda": 256, "cpu": 128})
    monkeypatch.setattr(ceilings, "COPIED", {"cuda": 2**20, "cpu": 2**20})


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_measure(device: torch.device, dtype: torch.dtype) -> None:
    before = torch.get_float32_matmul_precision()
    found = measure(device, dtype)
    # whatever the machine: above a pocket calculator, below any
    assert 1e-5 < found.matmul_tflops < 1e4
    assert 1e-2 < found.copy_gb_s < 1e5
    assert torch.get_float32_matmul_precision() == before
    if device.type == "cpu":
        precision = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
        assert found == Ceilings(precision, found.matmul_tflops, found.copy_gb_s, None, "cpu")


@pytest.mark.parametrize(("precision", "inside"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")])
@pytest.mark.parametrize("before", ["highest", "high"])
def test_the_switch_for_tf32_is_put_back(precision: str, inside: str, before: str) -> None:
    torch.set_float32_matmul_precision(before)
    try:
        with ceilings._matmul_as(precision):
            assert torch.get_float32_matmul_precision() == inside
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("short")
def test_rates_are_counts_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_seconds", lambda call, device: 1e-3)
    found = measure(torch.device("cpu"), torch.float32)
    assert found.matmul_tflops == pytest.approx(2 * 128**3 / 1e-3 / 1e12)
    assert found.copy_gb_s == pytest.approx(2 * 2**20 / 1e-3 / 1e9)  # read and written


def test_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first call nor a slow one among the rest."""
    times = iter([5.0, 2.0, 1.0, 3.0, 900.0, 4.0, 0.5])
    calls: list[int] = []
    monkeypatch.setattr(ceilings, "_by_clock", lambda call, device: next(times))

    def call() -> torch.Tensor:
        calls.append(1)
        return torch.empty(0)

    assert ceilings._seconds(call, torch.device("cpu")) == 3.0
    assert len(calls) == 1  # the one before the clock


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


def test_bytes_of_one_block() -> None:
    """Counted by hand. Batch norm and ReLU: two passes forward, three backward. Pooling leaves ReLU a quarter."""
    outputs, weights = 5 * 16 * 8 * 8, 16 * 3 * 9 + 2 * 16 + 16 * 37 + 37
    assert least_bytes(Network(widths=(16,), convs=1, hidden=0), batch=5, side=8, element_bytes=2) == {
        "batch norm": 2 * 5 * outputs,
        "ReLU": 2 * 5 * (outputs // 4),
        "pooling": 2 * 2 * (outputs + outputs // 4),
        "optimiser": 28 * weights,
    }


def test_mfu() -> None:
    assert mfu(images_per_s=20_000, flops_per_image=21.86e9, peak_tflops=989) == pytest.approx(0.442, abs=1e-3)
