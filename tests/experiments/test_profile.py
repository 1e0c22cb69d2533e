"""`train --profile`: the trace of a run's steps, and the table of their time."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from galaxy_triton.experiments.profile import record_into
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import WEIGHTS
from galaxy_triton.system.errors import DataFault, Stopped
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.learner import LABELS
from galaxy_triton.train.session import Session
from tests.support.sessions import StopAfter, trainer_of

Fit = Callable[..., tuple[Path, str]]


@pytest.fixture
def fit(make_session: Callable[..., Session], tmp_path: Path, display: Any) -> Fit:
    """fit(**settings): train an epoch with a profile -> its trace, and all that was printed."""

    def run(name: str = "trace.json", **settings: Any) -> tuple[Path, str]:
        trainer = trainer_of(make_session(tmp_path / "run", **{"run.epochs": 1, **settings}))
        with record_into(tmp_path / name)(trainer, display):
            trainer.fit(display, Stop())
        return tmp_path / name, display.console.file.getvalue()

    return run


def test_a_profile_does_not_change_the_run(
    fit: Fit, make_session: Callable[..., Session], tmp_path: Path, display: Any
) -> None:
    """With dropout, which draws from torch's global generator. Each part of a step is in the trace once a step."""
    settings = {"run.batch_size": 4, "network.dropout": 0.5}
    trace, text = fit(**settings)
    trainer_of(make_session(tmp_path / "plain", **{"run.epochs": 1, **settings})).fit(display, Stop())
    weights = [(tmp_path / name / run_folder.LAST / WEIGHTS).read_bytes() for name in ("plain", "run")]
    assert weights[0] == weights[1]
    names = [event["name"] for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    assert [names.count(label) for label in LABELS] == [5] * len(LABELS)
    assert "steps 4 to 8 on cpu" in text
    for part in ("Self CPU", "aten::convolution_backward", str(trace)):
        assert part in text


def test_a_short_epoch_is_recorded_as_far_as_it_goes(fit: Fit) -> None:
    trace, text = fit("trace.json.gz")
    assert "steps 2 to 3 on cpu" in text
    assert trace.read_bytes().startswith(b"\x1f\x8b")


def test_an_epoch_of_one_step_costs_the_trace_alone(fit: Fit, tmp_path: Path) -> None:
    trace, text = fit(**{"run.batch_size": 64})
    assert "Warning: no trace" in text
    assert not trace.exists()
    assert run_folder.has_checkpoint(tmp_path / "run")


@pytest.mark.parametrize("where", ["in the trace's folder", "in the folder of temporary files"])
def test_a_full_disk_costs_the_trace_alone(
    where: str, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's profiler does not report a full disk."""

    def full(target: Path) -> Any:
        raise DataFault("a full disk")

    def cut(recorded: object, path: str) -> None:
        Path(path).write_text('{"traceEvents": [')

    if "temporary" in where:
        monkeypatch.setattr(torch.profiler.profile, "export_chrome_trace", cut)
    else:
        monkeypatch.setattr("galaxy_triton.experiments.profile.whole_file", full)
    trace, text = fit()
    assert "Warning: no trace: " in text
    assert not trace.exists()
    assert run_folder.has_checkpoint(tmp_path / "run")


def test_a_stop_before_the_last_step_costs_the_trace_alone(
    make_session: Callable[..., Session], tmp_path: Path, display: Any
) -> None:
    trainer = trainer_of(make_session(tmp_path / "run"))
    with record_into(tmp_path / "trace.json")(trainer, display), suppress(Stopped):
        trainer.fit(display, StopAfter(trainer, 1))
    assert "Warning: no trace: the training ended before its step 3" in display.console.file.getvalue()
    assert not (tmp_path / "trace.json").exists()


@pytest.mark.parametrize("name", ["trace.txt", "trace.gz", "folder.json", "old.json", "file.json/trace.json"])
def test_a_trace_that_cannot_be_written_is_refused_before_the_run(
    name: str, sky: Any, tiny_options: Callable[..., list[str]], call: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file.json").touch()
    (tmp_path / "old.json").touch()
    result = call("train", sky.store, *tiny_options(), "--run", tmp_path / "run", "--profile", tmp_path / name)
    assert result.exit_code == 2
    assert "--profile" in result.output
    assert not (tmp_path / "run").exists()
