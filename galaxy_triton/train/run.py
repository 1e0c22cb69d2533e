"""One run, from its options to its report."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from galaxy_triton.config.toml import flat
from galaxy_triton.data.names import names_of, warn_of_unknown
from galaxy_triton.data.order import count_batches
from galaxy_triton.data.split import Split, split_by_fraction, split_by_ids
from galaxy_triton.data.targets import SHARED
from galaxy_triton.evaluate.findings import Findings
from galaxy_triton.evaluate.loaded_run import LoadedRun
from galaxy_triton.evaluate.report import PAGE, ReportOptions, report_of
from galaxy_triton.evaluate.scores import worse_than_mean
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped, command, expected
from galaxy_triton.system.lock import NoLocks, hold_lock
from galaxy_triton.system.provenance import BITS_DEPEND_ON
from galaxy_triton.system.signals import INTERRUPTED, Stop, stop_between_steps
from galaxy_triton.train import finetune
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import RESUMABLE, TrainOptions
from galaxy_triton.train.session import Session

WAIT = 10.0  # seconds, for a process that is stopping to release the run's lock

# A context around the training that may look into it.
Profiler = Callable[[Trainer, Display], AbstractContextManager[None]]


def train(options: TrainOptions, display: Display, *, profiler: Profiler | None = None, dry_run: bool = False) -> None:
    """Train a new run or resume one, with all processes that were started together, and draw its report.

    dry_run: say what would happen, and write nothing.

    Raises:
        UsageFault: options or choices that cannot be, or cannot run here.
        DataFault: a store or run that is not what it should be, or another process that is gone; the last checkpoint is
            whole.
        Stopped: a signal asked to stop; every step that was made is saved.
    """
    with Session.open(options, display, dry_run=dry_run) as session:
        split = _split(session)
        _announce(session, split)
        if dry_run:
            _say_what_would_happen(session, split)
            return
        if options.auto_batch:
            session = session.with_largest_batch(split)
        with session.own_folder() as session:
            trainer = Trainer(session, split, session.folder)
            with open_folder(trainer, options.resume):
                profiled = nullcontext() if profiler is None else profiler(trainer, session.display)
                with profiled, stop_between_steps(session.display.say) as stop:
                    fit(trainer, stop)
                if session.processes.first:
                    _say_result(trainer, report(trainer, stop))


@contextmanager
def open_folder(trainer: Trainer, resume: bool) -> Iterator[None]:
    """Create the run's folder, or restore the run that is in it; no other job can train there inside the block.

    Raises:
        DataFault: the folder cannot be written, another job trains in it, or its checkpoint is not this run's.
    """
    session, folder = trainer.session, trainer.folder
    with lock_folder(session, folder, None if resume else lambda: _create_folder(trainer)):
        if resume:
            _restore(trainer)
        if stretched := trainer.stretched():
            why = f"more than {SHARED} galaxies share each, which is taken for the mean of a class"
            session.display.field("labels", f"{stretched} stretched by {session.config.labels.stretch:g}: {why}")
        session.display.field("run", f"{folder}\n")
        yield


@contextmanager
def lock_folder(session: Session, folder: Path, create: Callable[[], None] | None) -> Iterator[None]:
    """Lock a folder for this job, after the first process has created it.

    Raises:
        DataFault: another job holds the lock, or the folder cannot be written.
    """
    with ExitStack() as stack:

        def lock() -> None:
            try:
                stack.enter_context(hold_lock(folder / run_folder.LOCK, WAIT, "run", "choose another --run"))
            except NoLocks:
                session.display.warn(f"{folder} has no locks: nothing keeps a second job out of it")

        if create is not None:
            session.processes.by_first(create)
        session.processes.by_first(lock)
        yield


def fit(trainer: Trainer, stop: Stop) -> None:
    """Train the epochs that are left; after a stop, say how to resume.

    Raises:
        Stopped, Diverged, DataFault: as `Trainer.fit`.
    """
    session = trainer.session
    try:
        trainer.fit(session.display, stop)
    except Stopped:
        place = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
        session.display.say(f"\nStopped in {place} and saved. Go on with: {resume_command(session)}")
        raise
    except KeyboardInterrupt:
        session.display.say(f"\nThe steps since the last checkpoint are lost. Go on with: {resume_command(session)}")
        raise


def report(trainer: Trainer, stop: Stop | None = None) -> Findings | None:
    """Draw the report of a trained run, with the options that `report` and `evaluate` have by default.

    Raises:
        KeyboardInterrupt: Ctrl-C, now or in `stop`; it is said how to draw the report.
    """
    session = trainer.session
    names, predictor = names_of(session.store), trainer.learner.predictor()
    run = LoadedRun(trainer.folder, predictor, session.galaxies, trainer.split, names, session.truth)
    try:
        if stop is not None and stop.code == INTERRUPTED:  # by Ctrl-C in the last step
            raise KeyboardInterrupt
        return report_of(run, ReportOptions(), session.display)
    except KeyboardInterrupt:
        of_fold = trainer.folder != session.folder
        again = resume_command(session) if of_fold else command("report", trainer.folder)
        network = trainer.folder / run_folder.LAST
        session.display.say(f"\nThe network is saved in {network}, its report is not drawn. Draw it with: {again}")
        raise


def resume_command(session: Session) -> str:
    """The command that resumes the session's run, with one process or more."""
    return command("train", session.store.path, "--run", session.folder, "--resume")


def _split(session: Session) -> Split:
    """The rows of one run; a resumed run keeps its own."""
    options, config, store = session.options, session.config, session.store
    if options.resume:
        validation = run_folder.read_split(session.folder).validation
        return split_by_ids(store, validation) if len(validation) else split_by_fraction(store, 0, 0)
    if options.validation_ids is not None:
        return split_by_ids(store, read_ids(options.validation_ids))
    return split_by_fraction(store, config.run.validation, config.run.seed)


def _announce(session: Session, split: Split) -> None:
    session.display.field("galaxies", f"{len(split.train)} to train on, {len(split.validation)} to validate on")
    if session.options.validation_ids is not None:
        warn_of_unknown(session.options.validation_ids, session.store, session.display)
    finetune.say_start(session.start, session.folder, session.store.ids[split.validation], session.display)


def _say_what_would_happen(session: Session, split: Split) -> None:
    run, done = session.config.run, 0
    if session.options.resume and run_folder.has_checkpoint(session.folder):
        done = checkpoints.load(session.folder / run_folder.LAST).progress.epoch
    steps = f"{count_batches(len(split.train), run.batch_size)} steps each"
    if session.options.auto_batch:
        steps = "of the largest batches that fit"
    left = f"Would train epochs {done + 1} to {run.epochs}, {steps}"
    if done >= run.epochs:
        left = "Nothing is left to train"
    session.display.say(f"{left}; would draw the report in {session.folder}")
    session.display.say("Nothing was written")


def _create_folder(trainer: Trainer) -> None:
    with trainer.session.create_run(trainer.folder) as new:
        run_folder.write_split(new, trainer.session.store, trainer.split)


def _restore(trainer: Trainer) -> None:
    """Restore a run's last checkpoint, or begin again where it was killed before the first one."""
    session, folder, processes = trainer.session, trainer.folder, trainer.processes
    processes.by_first(lambda: run_folder.repair(folder))
    if run_folder.has_checkpoint(folder):
        checkpoint = checkpoints.load(folder / run_folder.LAST)
        trainer.resume(checkpoint)
        _warn_of_changes(trainer, checkpoint)
    else:
        session.display.warn("the run has no checkpoint yet: it begins again")
    if (differing := processes.describe_difference(trainer.progress)) is not None:
        do = "give a --run that all machines share"
        raise DataFault(expected("the same checkpoint in all processes", differing, folder, do))
    processes.by_first(lambda: run_folder.cut_metrics(folder, trainer.progress.epoch))
    processes.by_first(lambda: run_folder.record_start(folder, session.backend, session.store))


def _warn_of_changes(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Warn if config.toml was edited after the checkpoint, or if the bits may differ from a run never stopped."""
    display, before = trainer.session.display, flat(checkpoint.config)
    for field, value in flat(trainer.session.config).items():
        if field not in RESUMABLE and value != before[field]:
            display.warn(f"{field} is {value}, and was {before[field]} so far: its config.toml has been changed")
    for name in BITS_DEPEND_ON:
        was, here = checkpoint.made_with.get(name), trainer.made_with[name]
        if was != here:
            display.warn(f"begun with {name} {was}, this is {here}: the bits can differ from a run never stopped")


def _say_result(trainer: Trainer, findings: Findings | None) -> None:
    display = trainer.session.display
    display.note()
    if findings is not None:
        score, (low, high) = findings.score, findings.score.interval
        galaxies = f"validation galaxies: {score.galaxies}, views: {findings.views}"
        display.result("RMSE", f"{score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {galaxies}")
        display.result("mean answer", f"{findings.constants.mean.rmse:.4f}  predicting the mean of the training labels")
        if findings.noise_floor is not None:
            display.result("noise floor", f"{findings.noise_floor:.4f}  predicting the true probabilities")
    folder, store = trainer.folder, trainer.session.store.path
    display.result("report", f"{folder / PAGE}")
    display.result("network", f"{folder / run_folder.LAST}")
    after = ("evaluate", folder) if findings else ("predict", folder, store, "--out", folder / "predictions.csv")
    display.note(f"next         {command(*after)}")
    if findings is not None and (worse := worse_than_mean(findings.score.rmse, findings.constants.mean.rmse)):
        display.warn(f"{worse}: train longer (--epochs), or with another --lr")
