"""`train --profile`: the trace of a run's steps, and the table of where their time went."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from galaxy_triton.experiments.profile import profiled
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import WEIGHTS
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.learner import LABELS, no_label
from galaxy_triton.train.session import Session
from tests.support.sessions import trainer_of


def test_train_with_a_profile(make_session: Callable[..., Session], tmp_path: Path, display: Any) -> None:
    """Every part of the step is in the trace, once a step; nothing of it stays behind, and the weights are the same."""
    settings = {"run.batch_size": 4, "run.epochs": 1}
    plain, watched = (trainer_of(make_session(tmp_path / name, **settings)) for name in ("plain", "watched"))
    plain.fit(display, Stop())
    with profiled(watched, tmp_path / "trace.json", display):
        watched.fit(display, Stop())
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    counts = [sum(event.get("name") == label and event.get("ph") == "X" for event in events) for label in LABELS]
    assert counts == [5] * len(LABELS)
    said = display.console.file.getvalue()
    assert "profile    steps 4 to 8 on cpu" in said
    assert f"trace      {tmp_path / 'trace.json'}" in said
    assert watched.learner.label is no_label
    weights = [(tmp_path / name / run_folder.LAST / WEIGHTS).read_bytes() for name in ("plain", "watched")]
    assert weights[0] == weights[1]


def test_a_profile_of_a_short_epoch(make_session: Callable[..., Session], tmp_path: Path, display: Any) -> None:
    """As many steps as there are; two are the fewest."""
    trainer = trainer_of(make_session(tmp_path, **{"run.epochs": 1}))
    with profiled(trainer, tmp_path / "trace.json.gz", display):
        trainer.fit(display, Stop())
    assert "profile    steps 2 to 3 on cpu" in display.console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "message"),
    [("trace.txt", "Expected a file named .json or .json.gz"), ("none/trace.json", "Expected a folder to write in")],
)
def test_a_profile_that_cannot_be_written(
    name: str,
    message: str,
    sky: Any,
    tiny_options: Callable[..., list[str]],
    call: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """Is refused before the run begins."""
    result = call("train", sky.store, *tiny_options(), "--run", tmp_path / "run", "--profile", tmp_path / name)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()
