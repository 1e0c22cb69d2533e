"""Commands that train."""

from pathlib import Path
from typing import Any

import click

from galaxy_triton.cli import options
from galaxy_triton.cli.options import CSV, EXISTING, NEW, example
from galaxy_triton.experiments import ablation_rows as ladder


@click.command()
@click.argument("store", type=EXISTING, required=False)
@options.describing
@options.finetuning
@options.folding
@click.option("--run", type=NEW, help="The run's folder.  [default: runs/RECIPE-TIME]")
@click.option("--resume/--from-start", default=False, show_default=True, help="Go on with --run where it stopped.")
@click.option("--profile", type=NEW, help="Record a few steps into this .json(.gz) trace.  [default: none]")
@options.dry_run
@options.quiet
@example("galaxy-triton train gz.store --recipe best --validation held_out.csv --run runs/first")
def train(fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Train a network on STORE, saving after every epoch, and write its report.

    Without STORE it learns from a small simulated sky, which is drawn once and kept in the user's cache. An option not
    given keeps the recipe's value. Ctrl-C saves and says how to go on (exit code 130); so do SIGTERM and SIGUSR1, with
    exit code 75: start again with --resume. Under torchrun each process takes its part of every batch. With --folds a
    run for each fold is trained in --run, and every galaxy is answered by the one that held it out. With --finetune the
    network and what is not given are those of another run, on labels that are better, or of another survey.
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


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The new folder for the table, as CSV and JSON, and its picture.")
@click.option("--images", type=EXISTING, help="What STORE was packed from, for the seed's rows.  [default: none]")
@options.ablating
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1), help="Of each training.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(0, 10), help="Trainings of each row.")
@click.option("--timed-steps", "timed", type=click.IntRange(1), help="On the clock.  [default: 20; 50 on CUDA]")
@click.option("--workers", type=click.IntRange(0), help="Of the seed's DataLoader.  [default: one a core]")
@click.option("--rows", multiple=True, type=click.Choice(ladder.KEYS), help="Measure this row.  [default: every row]")
@options.dry_run
@options.quiet
@example("galaxy-triton ablate gz.store --images images_training_rev1.zip --recipe best --out ablation")
def ablate(
    store: Path, fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any
) -> None:
    """Measure what each part of training brings on STORE: speed, memory, and RMSE after the same steps.

    From the seed's pipeline (image files through torchvision and a DataLoader, fp32) one part is added a row; then each
    is taken out of the full set; then torch.compile alone. What cannot run here is absent, with its reason.
    """
    from galaxy_triton.experiments import ablation as ablating
    from galaxy_triton.system.console import Display
    from galaxy_triton.train.options import TrainOptions

    settings, validation_ids = options.settings_of(asked, fields, validation)
    of_request = {name: asked.pop(name) for name in ("recipe", "config_file")}
    request = TrainOptions(store, settings=settings, validation_ids=validation_ids, **of_request)
    (ablating.describe if dry_run else ablating.ablate)(ablating.Asked(request, **asked), Display(quiet=quiet))


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--trials", required=True, type=click.IntRange(1), help="Of the whole sweep, by all its workers.")
@click.option("--out", type=NEW, help="The sweep's folder.  [default: runs/RECIPE-sweep-TIME]")
@click.option("--space", type=CSV, help="TOML file of fields to draw.  [default: eight, which --dry-run lists]")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Every trial's, the same.")
@options.of_folds
@options.sweeping
@options.dry_run
@options.quiet
@example("galaxy-triton sweep gz.store --recipe best --trials 50 --out sweeps/first")
def sweep(store: Path, fields: tuple[str, ...], dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Search for a better configuration: trials are drawn and trained over the same folds; poor ones are stopped.

    Start the command again with the same --out to go on, or beside it, on any machine that shares the folder, for
    another worker; --trials counts them all. The best configuration becomes best.toml, for `train --config`. Ctrl-C,
    SIGTERM and SIGUSR1 stop a worker; its trial is drawn again later.
    """
    from galaxy_triton.experiments import sweep as sweeping
    from galaxy_triton.system.console import Display
    from galaxy_triton.train.options import TrainOptions

    own = {name: asked.pop(name) for name in ("trials", "out", "space")}
    settings, _ = options.settings_of(asked, fields, None)
    auto_batch = options.take_auto_batch(settings)
    request = TrainOptions(store, settings=settings, auto_batch=auto_batch, **asked)
    (sweeping.describe if dry_run else sweeping.sweep)(sweeping.Asked(request, **own), Display(quiet=quiet))
