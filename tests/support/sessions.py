"""Sessions and trainers made from their parts, without the options of a command."""

from pathlib import Path
from typing import Any

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.split import Split, split_by_fraction
from galaxy_triton.data.store import open_store
from galaxy_triton.model.backend import choose
from galaxy_triton.system.console import Display
from galaxy_triton.system.processes import ALONE, Processes
from galaxy_triton.system.signals import INTERRUPTED, Stop
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.session import Session


def open_session(store: Path, folder: Path, settings: dict[str, Any], processes: Processes = ALONE) -> Session:
    """A session on a store, whose run's folder is made; `settings` change the seed recipe."""
    config = override(SEED, settings)
    backend, opened = choose(config, processes.count), open_store(store)
    galaxies = load(opened, backend.device, lambda done: None)
    folder.mkdir(parents=True, exist_ok=True)
    options, display = TrainOptions(store, run=folder), Display(quiet=True)
    return Session(options, config, backend, folder, opened, galaxies, display, processes)


def split_of(session: Session) -> Split:
    """The split of a run that holds out the configured fraction."""
    return split_by_fraction(session.store, session.config.run.validation, session.config.run.seed)


def trainer_of(session: Session) -> Trainer:
    """A trainer of the session's run."""
    return Trainer(session, split_of(session), session.folder)


class StopAfter(Stop):
    """Asks to stop once the optimiser has made so many steps."""

    def __init__(self, trainer: Trainer, steps: int, code: int = INTERRUPTED) -> None:
        self.trainer, self.steps, self.wanted = trainer, steps, code

    @property
    def code(self) -> int:  # type: ignore[override]
        states = list(self.trainer.learner.optimiser.state.values())
        return self.wanted if states and int(states[0]["step"]) >= self.steps else 0
