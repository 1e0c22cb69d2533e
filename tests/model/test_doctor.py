"""What `doctor` says of this machine, and its check of the kernels; here they are interpreted."""

import pytest
import torch

from galaxy_triton.config.schema import BODIES, HEADS, NORMS
from galaxy_triton.kernels.norm_pool import closed_form
from galaxy_triton.model import doctor


def test_everything_that_can_be_chosen_is_said() -> None:
    said = [text.split()[:2] for text, fault in doctor.examine() if not fault]
    assert [name for what, name in said if what == "norm"] == list(NORMS[1:])
    assert [name for what, name in said if what == "body"] == list(BODIES[1:])
    assert {name for what, name in said if what == "loss"} == set(HEADS)


@pytest.mark.parametrize("name", HEADS)
def test_losses_agree(name: str, device: torch.device) -> None:
    assert doctor._loss_error(device, name) < doctor.LOSS_TOLERANCE


def test_ends_of_blocks_agree(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._norm_error(device) < doctor.NORM_TOLERANCE
    places = closed_form._places
    monkeypatch.setattr(closed_form, "_places", lambda index: places(index).roll(1))
    assert doctor._norm_error(device) > doctor.NORM_TOLERANCE
