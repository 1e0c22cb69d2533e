"""The command that trains."""

from typing import Any

import click

from galaxy_triton.cli import options
from galaxy_triton.cli.help import GroupedCommand, example, heading
from galaxy_triton.cli.options import EXISTING, NEW


@click.command(cls=GroupedCommand)
@click.argument("store", type=EXISTING, required=False)
@options.training
@heading(
    "Folder",
    click.option("--run", type=NEW, help="The run's folder.  [default: runs/RECIPE-TIME]"),
    click.option("--resume/--from-start", default=False, show_default=True, help="Continue the run in --run."),
    click.option("--profile", type=NEW, help="Record a few steps into this .json(.gz) trace.  [default: none]"),
    options.dry_run,
    options.quiet,
)
@example("galaxy-triton train gz.store --recipe best --validation validation.csv --run runs/first")
def train(fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Train a network on STORE, saving after every epoch, and write its report.

    Without STORE it trains on a small simulated sky, which is drawn once and kept in the user's cache. Options that are
    not given keep the recipe's values. Ctrl-C saves and says how to resume (exit code 130); so do SIGTERM and SIGUSR1
    (exit code 75). Under torchrun each process takes its part of every batch. --folds trains a run for each fold and
    predicts every galaxy with the run that did not train on it. --finetune begins with the weights and configuration of
    another run, on better labels or on those of another survey.
    """
    from galaxy_triton.system.console import Display
    from galaxy_triton.train import cross_validation
    from galaxy_triton.train import run as one_run
    from galaxy_triton.train.options import TrainOptions

    settings, validation_ids = options.settings_of(asked, fields, validation)
    auto_batch, profile = options.take_auto_batch(settings), asked.pop("profile")
    chosen = TrainOptions(settings=settings, validation_ids=validation_ids, auto_batch=auto_batch, **asked)
    display = Display(quiet=quiet)
    if chosen.cross_validates:
        if profile is not None:
            raise click.UsageError("Expected one run to record, got several (--profile and --folds): leave one out")
        cross_validation.cross_validate(chosen, display, dry_run=dry_run)
    elif profile is not None:
        from galaxy_triton.experiments.profile import record_into

        one_run.train(chosen, display, profiler=record_into(profile), dry_run=dry_run)
    else:
        one_run.train(chosen, display, dry_run=dry_run)
