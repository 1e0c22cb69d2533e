"""Loading a run's network: on another device than it was trained on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from galaxy_triton.config.toml import override
from galaxy_triton.model.backend import Backend
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs.checkpoint import read_checkpoint
from galaxy_triton.system.errors import UsageFault


def test_what_concerns_training_alone_is_off(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process predicts with a run of several; a VGG's pooling needs no deterministic gradient on a GPU."""
    checkpoint = read_checkpoint(run, "last")
    vgg = {"network.name": "vgg11", "preprocess.size": 40, "augmentation.size": 32}
    trained = replace(
        checkpoint, config=override(checkpoint.config, {**vgg, "run.deterministic": True, "run.sync_norm": True})
    )
    chosen: list[Backend] = []
    monkeypatch.setattr("galaxy_triton.predict.predictor.read_checkpoint", lambda *asked: trained)
    monkeypatch.setattr("galaxy_triton.predict.predictor.make_predictor", lambda *made: chosen.append(made[2]))
    for name, value in (("is_available", True), ("get_device_name", "GPU"), ("get_device_capability", (8, 0))):
        monkeypatch.setattr(torch.cuda, name, lambda *device, value=value: value)
    load_predictor(run, "last", "cuda")
    assert chosen[0].device.type == "cuda"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_a_device_that_is_not_there(run: Path) -> None:
    with pytest.raises(UsageFault, match="Expected a machine with mps, got one with"):
        load_predictor(run, "last", "mps")
