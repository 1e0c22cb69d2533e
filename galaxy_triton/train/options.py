"""The options of `train`, and the configuration that they come to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxy_triton.config import toml
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.data.folds import FOLDS
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.errors import UsageFault, command, expected
from galaxy_triton.train.finetune import config_after

# A resumed run may change where and how it computes, not what.
RESUMABLE = ("run.device", "run.augment", "run.loss", "run.body", "run.norm", "run.resident")


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`."""

    store: Path | None = None  # None for the simulated sky, or for the store of a resumed run
    recipe: str | None = None  # None for "seed", or for "demo" without a store
    config_file: Path | None = None  # a TOML file, applied over the recipe
    settings: dict[str, Any] | None = None  # dotted configuration fields, applied over both
    run: Path | None = None  # the run's folder; None for a new one named after the recipe and the time
    validation_ids: Path | None = None  # a CSV of ids to validate on; None for the configured fraction
    resume: bool = False  # continue the run in `run`
    auto_batch: bool = False  # find the largest batch that fits, in place of the configured one
    folds: int | None = None  # of a cross-validation; None for one run
    fold_ids: Path | None = None  # a CSV of the ids that the folds validate on; None for all labelled galaxies
    finetune: Path | None = None  # a run whose weights and configuration to begin with; None for random weights

    @property
    def cross_validates(self) -> bool:
        """Whether these are the options of a cross-validation: a new one, or one to resume."""
        resumed = self.resume and self.run is not None and (self.run / FOLDS).is_file()
        return self.folds is not None or resumed


def config_of(options: TrainOptions) -> Config:
    """The configuration: the recipe's, or the resumed or fine-tuned run's own, then the TOML file, then the settings.

    Raises:
        UsageFault: no such field or value, options that contradict, or a field that a resumed run cannot change.
        DataFault: no run to resume or to fine-tune there.
    """
    settings = options.settings or {}
    if options.resume:
        if options.run is None:
            raise UsageFault(expected("the run to resume", "none", "--resume", "name it with --run"))
        config = run_folder.read_config(options.run)
        _check_resumable(options, options.run)
        _refuse_repeats(options.run / run_folder.CONFIG)
        return toml.override(config, settings)
    if options.fold_ids is not None and options.folds is None:
        raise UsageFault(expected("folds for these ids", "none", "--fold-ids", "add --folds"))
    config = _base(options)
    if options.config_file is not None:
        _refuse_repeats(options.config_file)
        config = toml.read_toml(options.config_file, config)
    return toml.override(config, settings)


def run_name(options: TrainOptions, config: Config) -> str:
    """The first part of the name of a new run's folder."""
    return f"{config.recipe}{'-finetune' * bool(options.finetune)}{'-folds' * (options.folds is not None)}"


def _base(options: TrainOptions) -> Config:
    """The configuration that the options of a new run change."""
    if options.finetune is None:
        return RECIPES[options.recipe or ("seed" if options.store else "demo")]
    in_file = {} if options.config_file is None else toml.toml_values(options.config_file)
    if recipe := options.recipe or in_file.get("recipe"):
        want, do = "the configuration of the run to be fine-tuned", "leave one of the two out"
        raise UsageFault(expected(want, f"the recipe {recipe}", "--finetune", do))
    if options.store is None:
        raise UsageFault(expected("a STORE to fine-tune on", "none", "--finetune", "name one that `pack` made"))
    return config_after(options.finetune)


def _refuse_repeats(file: Path) -> None:
    """Raise if a configuration repeats galaxies within an epoch, which release 0.1.0 could."""
    run = toml.toml_values(file).get("run") if file.is_file() else None
    if isinstance(run, dict) and run.get("repeat", 1) != 1:
        do = "take that line out of a file for --config; begin another run where it is a run's own"
        raise UsageFault(expected("no repeated galaxies", f"run.repeat = {run['repeat']!r}", file, do))


def _check_resumable(options: TrainOptions, run: Path) -> None:
    """Raise if an option would change what the resumed run computes."""
    given = {
        "--recipe": options.recipe,
        "the TOML file": options.config_file,
        "--finetune": options.finetune,
        "--batch-size auto": options.auto_batch or None,
        "--validation": options.validation_ids,
        "--folds": options.folds,
        "--fold-ids": options.fold_ids,
    }
    fixed = [name for name in options.settings or {} if name not in RESUMABLE]
    fixed += [name for name, value in given.items() if value is not None]
    if fixed:
        do = f"leave it out; a resumed run may change {', '.join(RESUMABLE)}"
        if run_folder.has_checkpoint(run) and not options.cross_validates:
            store = options.store or run_folder.read_source(run).store
            do += f"; for other settings begin a run from its weights: `{command('train', store, '--finetune', run)}`"
        raise UsageFault(expected("the configuration of the run that is resumed", ", ".join(fixed), "--resume", do))
