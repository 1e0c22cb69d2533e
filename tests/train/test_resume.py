"""A resumed run has the bits of one never stopped, wherever it was stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import AVERAGE, WEIGHTS, load
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.session import Session
from tests.support.sessions import StopAfter, trainer_of

EPOCHS, STEPS = 3, 3  # 33 galaxies in batches of at most 12
AVERAGED = {"run.epochs": EPOCHS, "optimiser.average": 0.9}

MakeSession = Callable[..., Session]
ReadMetrics = Callable[[Path], list[dict[str, str]]]


class Killed(Exception):
    pass


def kill() -> None:
    raise Killed


class AtEpoch(Display):
    """Does something when the line of an epoch is said: that epoch is saved then."""

    def __init__(self, epoch: int, act: Callable[[], None]) -> None:
        super().__init__()
        self.epoch, self.act = epoch, act

    def say(self, line: str = "") -> None:
        if " train " in line and line.split()[1] == f"{self.epoch}/{EPOCHS}":
            self.act()


def same(one: Any, other: Any) -> bool:
    """Whether two nests of dicts and lists hold the same numbers and the same bits of tensors."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def resumed(session: Session) -> Trainer:
    """A fresh trainer, where the checkpoint left off, as `train` makes it."""
    trainer, checkpoint = trainer_of(session), load(session.folder / run_folder.LAST)
    trainer.resume(checkpoint)
    run_folder.cut_metrics(session.folder, checkpoint.progress.epoch)
    return trainer


def check_same_checkpoints(folder: Path, whole: Path) -> None:
    for name in (run_folder.LAST, run_folder.BEST):
        got, want = load(folder / name), load(whole / name)
        assert got.progress == want.progress
        assert same(got.state, want.state)
        averaged = [AVERAGE] if want.config.optimiser.average else []
        for file in (WEIGHTS, *averaged):
            assert (folder / name / file).read_bytes() == (whole / name / file).read_bytes(), (name, file)


@pytest.fixture(scope="module")
def whole(make_session: MakeSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped, with averaged weights."""
    session = make_session(tmp_path_factory.mktemp("whole"), **AVERAGED)
    assert session.config.network.dropout > 0
    trainer_of(session).fit(Display(), Stop())
    return session.folder


def test_resume_at_every_step(
    whole: Path, make_session: MakeSession, read_metrics: ReadMetrics, tmp_path: Path, display: Display
) -> None:
    """A stop at an epoch's last step is acted on when the epoch is finished."""
    session = make_session(tmp_path, **AVERAGED)
    trainer = trainer_of(session)
    for step in range(1, EPOCHS * STEPS):
        with pytest.raises(Stopped):
            trainer.fit(display, StopAfter(trainer, step))
        assert (trainer.progress.epoch, trainer.progress.step) == divmod(step, STEPS)
        assert (tmp_path / run_folder.METRICS).exists() == (step >= STEPS)
        trainer = resumed(session)
    trainer.fit(display, Stop())
    assert len(read_metrics(whole)) == EPOCHS
    assert read_metrics(tmp_path) == read_metrics(whole)
    check_same_checkpoints(tmp_path, whole)


def test_resume_after_a_kill_between_row_and_checkpoint(
    whole: Path,
    make_session: MakeSession,
    read_metrics: ReadMetrics,
    tmp_path: Path,
    display: Display,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = make_session(tmp_path, **AVERAGED)
    trainer = trainer_of(session)
    with pytest.raises(Killed):
        trainer.fit(AtEpoch(1, lambda: monkeypatch.setattr(trainer, "save", lambda name: kill())), Stop())
    assert len(read_metrics(tmp_path)) == 2
    resumed(session).fit(display, Stop())
    assert read_metrics(tmp_path) == read_metrics(whole)
    check_same_checkpoints(tmp_path, whole)


def test_resume_with_two_threads(make_session: MakeSession, tmp_path: Path, display: Display) -> None:
    settings = {"run.batch_size": 17, "network.widths": (32, 64), "run.epochs": 1}
    whole, stopped = make_session(tmp_path / "whole", **settings), make_session(tmp_path / "stopped", **settings)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trainer_of(whole).fit(display, Stop())
        trainer = trainer_of(stopped)
        with pytest.raises(Stopped):
            trainer.fit(display, StopAfter(trainer, 1))
        resumed(stopped).fit(display, Stop())
    finally:
        torch.set_num_threads(before)
    check_same_checkpoints(stopped.folder, whole.folder)


def test_resume_on_a_machine_that_scales_gradients(whole: Path, make_session: MakeSession, tmp_path: Path) -> None:
    """A run that began in fp32 has no scale to restore: the scaler begins anew."""
    trainer = trainer_of(make_session(tmp_path, **AVERAGED))
    trainer.learner.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    trainer.resume(load(whole / run_folder.LAST))
    assert trainer.learner.scaler.get_scale() == 8.0
    assert trainer.progress.epoch == EPOCHS


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"store_hash": "another"}, "Expected the store with hash another"),
        ({"weights": {"answers.bias": torch.zeros(3)}}, "Expected the weights and the optimiser's state of galaxy-vgg"),
        ({"average": {"answers.bias": torch.zeros(37)}}, "Expected the weights and the optimiser's state"),
        ({"state": {}}, "Expected the weights and the optimiser's state"),
        ({"state": torch.zeros(3)}, "Expected the weights and the optimiser's state"),
    ],
    ids=["store", "weights", "average", "no-state", "no-dict"],
)
def test_resume_refuses_another_checkpoint(
    spoil: dict[str, Any], message: str, whole: Path, make_session: MakeSession, tmp_path: Path
) -> None:
    trainer = trainer_of(make_session(tmp_path, **AVERAGED))
    with pytest.raises(DataFault, match=message):
        trainer.resume(replace(load(whole / run_folder.LAST), **spoil))
