"""The report of `doctor` and its comparison of the kernels with torch; here the kernels are interpreted."""

from importlib.metadata import PackageNotFoundError

import pytest
import torch

from galaxy_triton.config.schema import BODIES, HEADS, IMPLEMENTATIONS, NORMS
from galaxy_triton.kernels.norm_pool import closed_form
from galaxy_triton.model import doctor


def test_every_implementation_is_reported() -> None:
    reported = [text.split()[:2] for text, fault in doctor.examine() if not fault]
    assert [name for what, name in reported if what == "norm"] == list(NORMS[1:])
    assert [name for what, name in reported if what == "body"] == list(BODIES[1:])
    assert [name for what, name in reported if what == "loss"] == list(IMPLEMENTATIONS[1:])


@pytest.mark.parametrize(("name", "is_fault"), [("torchvision", False), ("torch", True)])
def test_a_missing_package(name: str, is_fault: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision is an extra; torch is not."""

    def version(package: str) -> str:
        if package == name:
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    missing = [(text.split()[0], fault) for text, fault in doctor.examine() if f"pip install {name}" in text]
    assert missing == [(name, is_fault)]


@pytest.mark.slow  # a minute in Triton's interpreter
def test_views_agree(device: torch.device) -> None:
    assert doctor.augment_error(device) < doctor.TOLERANCE


@pytest.mark.parametrize("name", HEADS)
def test_losses_agree(name: str, device: torch.device) -> None:
    assert doctor.loss_error(device, name) < doctor.LOSS_TOLERANCE


def test_ends_of_blocks_agree(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.norm_error(device) < doctor.NORM_TOLERANCE
    torch_steps = closed_form.norm_relu_pool
    monkeypatch.setattr(closed_form, "norm_relu_pool", lambda x, *rest: torch_steps(x.roll(1, 3), *rest))
    assert doctor.norm_error(device) > doctor.NORM_TOLERANCE
