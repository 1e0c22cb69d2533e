"""The options that the command line's commands share, and those of `train`."""

from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import BODIES, DEVICES, HEADS, IMPLEMENTATIONS, MODELS, NORMS, PRECISIONS, RESIDENCES

EXISTING = click.Path(exists=True, path_type=Path)
CSV = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

# The class of --quiet, --dry-run and the like: off unless given.
FLAG: dict[str, Any] = {"is_flag": True, "default": False, "show_default": "off"}


def example(text: str) -> Decorator:
    """Put an example at the end of a command's help."""

    def add(command: Command) -> Command:
        command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n  {text}"
        return command

    return add


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which help shows them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


quiet = click.option("--quiet", "-q", help="Say results, warnings and faults only.", **FLAG)
dry_run = click.option("--dry-run", help="Say what would happen, and write nothing.", **FLAG)
workers = click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that read or draw images."
)
skip_bad = click.option(
    "--skip-bad/--stop-at-bad", default=False, show_default=True, help="Leave out unreadable images."
)

# Of every command that asks a trained network.
views = click.option(
    "--views", default=16, show_default=True, type=click.IntRange(1), help="Fixed rotations and flips to average over."
)
checkpoint = click.option(
    "--checkpoint", "which", type=click.Choice(["last", "best"]), default="last", show_default=True
)
asking = together(
    views,
    checkpoint,
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True),
    click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1)),
)

# Of every command that judges the answers.
inquiring = together(
    click.option(
        "--against", type=EXISTING, help="Another run, or a table of answers, to compare with.  [default: none]"
    ),
    click.option(
        "--consistency",
        default=64,
        show_default=True,
        type=click.IntRange(0),
        help="Galaxies to turn, to see how far answers move; at most.",
    ),
)

# An option of `train` -> the configuration field it sets.
TRAIN_FIELDS = {
    "model": "network.name",
    "width": "network.widths",
    "convs": "network.convs",
    "head": "network.head",
    "epochs": "run.epochs",
    "batch_size": "run.batch_size",
    "lr": "optimiser.lr",
    "seed": "run.seed",
    "device": "run.device",
    "precision": "run.precision",
    "augment": "run.augment",
    "loss": "run.loss",
    "body": "run.body",
    "norm": "run.norm",
    "resident": "run.resident",
    "accumulate": "run.accumulate",
    "sync_norm": "run.sync_norm",
    "deterministic": "run.deterministic",
}
RECIPES_OWN = "the recipe's"
AUTO = "auto"


def _count_or_auto(ctx: click.Context, param: click.Parameter, value: Any) -> int | str | None:
    count: int | str | None = value if value in (None, AUTO) else click.IntRange(1).convert(value, param, ctx)
    return count


def _field(name: str, kind: Any = None, help: str | None = None) -> Decorator:
    return click.option(f"--{name}", type=kind, help=help, show_default=RECIPES_OWN)


_network = together(
    click.option("--recipe", type=click.Choice(list(RECIPES)), help="[default: seed; demo without STORE]"),
    click.option("--config", "config_file", type=CSV, help="TOML file of fields over the recipe.  [default: none]"),
    click.option(
        "--set", "fields", multiple=True, metavar="KEY=VALUE", help="Any field, e.g. run.views=8.  [default: none]"
    ),
    _field("model", click.Choice(MODELS), "vgg11, vgg16 with batch norm."),
    _field("width", help="Channels of galaxy-vgg's blocks, e.g. 64,128,256."),
    _field("convs", click.IntRange(1, 2), "3x3 convolutions a block."),
    _field("head", click.Choice(HEADS)),
)
_learning = together(
    _field("lr", float, "Peak learning rate."),
    _field("seed", click.IntRange(0), "Of every random draw."),
)
_validation = _field("validation", help="Fraction to hold out, or a CSV of ids.")
_arithmetic = together(_field("device", click.Choice(DEVICES)), _field("precision", click.Choice(PRECISIONS)))
_epochs = _field("epochs", click.IntRange(1))
_batch = _field("batch-size", click.IntRange(1), "Galaxies a step.")
_batch_or_auto = click.option(
    "--batch-size",
    callback=_count_or_auto,
    metavar="COUNT|auto",
    help="Galaxies a step, of all processes; auto: the largest power of two that fits.",
    show_default=RECIPES_OWN,
)
_accumulate = _field("accumulate", click.IntRange(1), "Parts a batch is cut into, for less memory.")
_ways = together(
    _field("augment", click.Choice(IMPLEMENTATIONS)),
    _field("loss", click.Choice(IMPLEMENTATIONS)),
    _field("body", click.Choice(BODIES)),
    _field("norm", click.Choice(NORMS), "The ends of galaxy-vgg's blocks: batch norm, ReLU, pooling."),
    _field("resident", click.Choice(RESIDENCES), "Where the pixels lie; host: copied a batch ahead."),
    click.option(
        "--sync-norm/--own-norm",
        default=None,
        help="Batch norm over all processes' galaxies; CUDA only.",
        show_default=RECIPES_OWN,
    ),
    click.option("--deterministic/--fastest", default=None, help="Same bits every time.", show_default=RECIPES_OWN),
)

# What a run is, in the options of `train`.
describing = together(_network, _epochs, _batch_or_auto, _accumulate, _learning, _validation, _arithmetic, _ways)

of_folds = click.option("--fold-ids", type=CSV, help="Hold out only these ids in the folds.  [default: any labelled]")

finetuning = click.option(
    "--finetune",
    type=EXISTING,
    help="Begin with this run's weights and configuration, half its lr, 30 epochs, batches of 64.  [default: random]",
)

folding = together(
    click.option("--folds", type=click.IntRange(1), help="Cross-validate: so many runs.  [default: one run]"), of_folds
)

# What `ablate` trains, in the same words; how is what its rows differ in.
ablating = together(_network, _batch, _learning, _validation, _arithmetic)

# What `sweep` trains: its folds hold out, and its trials have the same batches.
sweeping = together(_network, _epochs, _batch, _accumulate, _learning, _arithmetic, _ways)


def settings_of(
    options: dict[str, Any], fields: tuple[str, ...], validation: str | None
) -> tuple[dict[str, Any], Path | None]:
    """Take the options that name a configuration field out of `options`.

    Returns:
        Dotted fields, with those of --set; and the file of ids to hold out, where `validation` is one.

    Raises:
        click.UsageError: a --set that is no pair, or names a field that an option names too.
    """
    present = [name for name in TRAIN_FIELDS if name in options]
    given = {TRAIN_FIELDS[name]: options.pop(name) for name in present} | {"run.validation": validation}
    named = {name: value for name, value in given.items() if value is not None}
    pairs = dict(map(_pair, fields))
    for key in named.keys() & pairs.keys():
        got = f"{named[key]!r} and {pairs[key]!r}"
        raise click.UsageError(f"Expected {key} once, got {got} (an option and --set): leave one out")
    settings = named | pairs
    if validation is None or not Path(validation).is_file():
        return settings, None
    return {name: value for name, value in settings.items() if name != "run.validation"}, Path(validation)


def take_auto_batch(settings: dict[str, Any]) -> bool:
    """Whether the batch size is "auto", which is then taken out of the settings."""
    if settings.get("run.batch_size") != AUTO:
        return False
    del settings["run.batch_size"]
    return True


def _pair(field: str) -> tuple[str, str]:
    key, equals, value = field.partition("=")
    if not equals:
        raise click.UsageError(f"Expected KEY=VALUE, got {field!r} (--set): write for example optimiser.lr=1e-3")
    return key, value
