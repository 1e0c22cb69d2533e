"""Commands that compare many trainings."""

from pathlib import Path
from typing import Any

import click

from galaxy_triton.cli import options
from galaxy_triton.cli.help import GroupedCommand, example
from galaxy_triton.cli.options import CSV, EXISTING, NEW
from galaxy_triton.experiments.ablation_rows import KEYS


@click.command(cls=GroupedCommand)
@click.argument("store", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The new folder for the table, as CSV and JSON, and its picture.")
@click.option("--images", type=EXISTING, help="What STORE was packed from, for the write-up's rows.  [default: none]")
@options.ablation
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1), help="Of each training.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(0, 10), help="Trainings of each row.")
@click.option("--timed-steps", "timed", type=click.IntRange(1), help="On the clock.  [default: 20; 50 on CUDA]")
@click.option("--workers", type=click.IntRange(0), help="Of the write-up's DataLoader.  [default: one a core]")
@click.option("--rows", multiple=True, type=click.Choice(KEYS), help="Measure this row.  [default: every row]")
@options.dry_run
@options.quiet
@example("galaxy-triton ablate gz.store --images images_training_rev1.zip --recipe best --out ablation")
def ablate(
    store: Path, fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any
) -> None:
    """Measure what each part of training brings on STORE: speed, memory, and RMSE after the same steps.

    From the write-up's input pipeline (image files through torchvision and a DataLoader, fp32) one part is added a row;
    then each is taken out of the full set; then torch.compile alone. Rows that cannot run here are absent, with the
    reason.
    """
    from galaxy_triton.experiments.ablation import AblationOptions
    from galaxy_triton.experiments.ablation import ablate as measure_rows
    from galaxy_triton.system.console import Display
    from galaxy_triton.train.options import TrainOptions

    settings, validation_ids = options.settings_of(asked, fields, validation)
    recipe, config_file = asked.pop("recipe"), asked.pop("config_file")
    train = TrainOptions(store, recipe, config_file, settings, validation_ids=validation_ids)
    measure_rows(AblationOptions(train, **asked), Display(quiet=quiet), dry_run)


@click.command(cls=GroupedCommand)
@click.argument("store", type=EXISTING)
@click.option("--trials", required=True, type=click.IntRange(1), help="Of the whole sweep, by all its workers.")
@click.option("--out", type=NEW, help="The sweep's folder.  [default: runs/RECIPE-sweep-TIME]")
@click.option("--space", type=CSV, help="TOML file of fields to draw.  [default: eight, which --dry-run lists]")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Every trial's, the same.")
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
    from galaxy_triton.experiments.sweep import SweepOptions
    from galaxy_triton.experiments.sweep import sweep as run_sweep
    from galaxy_triton.system.console import Display
    from galaxy_triton.train.options import TrainOptions

    own = {name: asked.pop(name) for name in ("trials", "out", "space")}
    settings, _ = options.settings_of(asked, fields, None)
    auto_batch = options.take_auto_batch(settings)
    chosen = SweepOptions(TrainOptions(store, settings=settings, auto_batch=auto_batch, **asked), **own)
    run_sweep(chosen, Display(quiet=quiet), dry_run=dry_run)
