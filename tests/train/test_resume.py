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
from tests.support.sessions import trainer_of

EPOCHS, STEPS = 3, 3  # 33 galaxies in batches of at most 12
AVERAGES = (0.0, 0.9)

MakeSession = Callable[..., Session]
ReadMetrics = Callable[[Path], list[dict[str, str]]]
StopAfter = Callable[[Trainer, int], Stop]


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
def make_run(make_session: MakeSession) -> MakeSession:
    def make(folder: Path, average: float = 0.0, **settings: Any) -> Session:
        return make_session(folder, **{"run.epochs": EPOCHS, "optimiser.average": average, **settings})

    return make


@pytest.fixture(scope="module", params=AVERAGES, ids=lambda average: f"average-{average}")
def average(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture(scope="module")
def whole(average: float, make_run: MakeSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped."""
    session = make_run(tmp_path_factory.mktemp("whole"), average)
    assert session.config.network.dropout > 0
    trainer_of(session).fit(Display(), Stop())
    return session.folder


@pytest.fixture
def finish(whole: Path, display: Display, read_metrics: ReadMetrics, tmp_path: Path) -> Callable[[Session], None]:
    """Resume the run in tmp_path to its end and compare it with the one never stopped."""

    def run(session: Session) -> None:
        resumed(session).fit(display, Stop())
        assert len(read_metrics(whole)) == EPOCHS
        assert read_metrics(tmp_path) == read_metrics(whole)
        check_same_checkpoints(tmp_path, whole)

    return run


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_resume_after_an_epoch(
    epoch: int, average: float, make_run: MakeSession, read_metrics: ReadMetrics, tmp_path: Path, finish: Any
) -> None:
    session = make_run(tmp_path, average)
    with pytest.raises(Killed):
        trainer_of(session).fit(AtEpoch(epoch, kill), Stop())
    assert len(read_metrics(tmp_path)) == epoch
    finish(session)


@pytest.mark.parametrize("steps", [1, 2, STEPS, STEPS + 1, 2 * STEPS + 2])
def test_resume_inside_an_epoch(
    steps: int,
    average: float,
    make_run: MakeSession,
    stop_after: StopAfter,
    tmp_path: Path,
    display: Display,
    finish: Any,
) -> None:
    """A stop at an epoch's last step is acted on when the epoch is finished."""
    session = make_run(tmp_path, average)
    trainer = trainer_of(session)
    with pytest.raises(Stopped):
        trainer.fit(display, stop_after(trainer, steps))
    assert trainer.progress.epoch * STEPS + trainer.progress.step == steps
    assert (tmp_path / run_folder.METRICS).exists() == (steps >= STEPS)
    finish(session)


def test_resume_at_every_step(
    average: float, make_run: MakeSession, stop_after: StopAfter, tmp_path: Path, display: Display, finish: Any
) -> None:
    session = make_run(tmp_path, average)
    trainer = trainer_of(session)
    for step in range(1, EPOCHS * STEPS):
        with pytest.raises(Stopped):
            trainer.fit(display, stop_after(trainer, step))
        trainer = resumed(session)
    finish(session)


def test_resume_after_a_kill_between_row_and_checkpoint(
    average: float,
    make_run: MakeSession,
    read_metrics: ReadMetrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    finish: Any,
) -> None:
    session = make_run(tmp_path, average)
    trainer = trainer_of(session)
    with pytest.raises(Killed):
        trainer.fit(AtEpoch(1, lambda: monkeypatch.setattr(trainer, "save", lambda name: kill())), Stop())
    assert len(read_metrics(tmp_path)) == 2
    finish(session)


def test_resume_with_two_threads(
    make_run: MakeSession, stop_after: StopAfter, tmp_path: Path, display: Display
) -> None:
    settings = {"run.batch_size": 17, "network.widths": (32, 64), "run.epochs": 2}
    whole, stopped = make_run(tmp_path / "whole", **settings), make_run(tmp_path / "stopped", **settings)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trainer_of(whole).fit(display, Stop())
        trainer = trainer_of(stopped)
        with pytest.raises(Stopped):
            trainer.fit(display, stop_after(trainer, 1))
        resumed(stopped).fit(display, Stop())
    finally:
        torch.set_num_threads(before)
    check_same_checkpoints(stopped.folder, whole.folder)


def test_resume_on_a_machine_that_scales_gradients(make_run: MakeSession, tmp_path: Path, display: Display) -> None:
    """A run begun in fp32 has no scale to hand on: the scaler begins anew."""
    session = make_run(tmp_path, **{"run.epochs": 1})
    trainer_of(session).fit(display, Stop())
    trainer = trainer_of(session)
    trainer.learner.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    trainer.resume(load(tmp_path / run_folder.LAST))
    assert trainer.learner.scaler.get_scale() == 8.0
    assert trainer.progress.epoch == 1


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
def test_resume_refuses_what_is_not_its_own(
    spoil: dict[str, Any], message: str, make_run: MakeSession, tmp_path: Path, display: Display
) -> None:
    trainer = trainer_of(make_run(tmp_path, 0.9, **{"run.epochs": 1}))
    trainer.fit(display, Stop())
    with pytest.raises(DataFault, match=message):
        trainer.resume(replace(load(tmp_path / run_folder.LAST), **spoil))
