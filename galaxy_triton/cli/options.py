"""Options that several commands share, and those of `train`, which come from the configuration's fields."""

from pathlib import Path
from typing import Any

import click

from galaxy_triton.cli.help import Decorator, heading, together
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import DEVICES, OPTIONS, TYPES, Option

EXISTING = click.Path(exists=True, path_type=Path)
CSV = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)

# Keywords of --quiet, --dry-run and the like: off unless given.
FLAG: dict[str, Any] = {"is_flag": True, "default": False}

quiet = click.option("--quiet", "-q", help="Say results, warnings and faults only.", **FLAG)
overwrite = click.option("--overwrite", help="Replace a file that is there.", **FLAG)
dry_run = click.option("--dry-run", help="Say what would happen, and write nothing.", **FLAG)
workers = click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that read or draw images."
)
skip_bad = click.option(
    "--skip-bad/--stop-at-bad", default=False, show_default=True, help="Leave out unreadable images."
)

# Of every command that predicts with a trained network.
views = click.option(
    "--views", default=16, show_default=True, type=click.IntRange(1), help="Fixed rotations and flips to average over."
)
checkpoint = click.option(
    "--checkpoint",
    "which",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="The last one, or the one with the lowest validation RMSE.",
)
prediction = together(
    views,
    checkpoint,
    click.option(
        "--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where the network runs."
    ),
    click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1), help="Galaxies at a time."),
)

# Of every command that judges predictions.
judgement = together(
    click.option(
        "--against", type=EXISTING, help="Another run, or a table of predictions, to compare with.  [default: none]"
    ),
    click.option(
        "--consistency",
        default=64,
        show_default=True,
        type=click.IntRange(0),
        help="Galaxies to turn and mirror, to see how far predictions move; at most.",
    ),
)

RENAMED = {"network.name": "model", "network.widths": "width", "augmentation.size": "view-size"}


def _options_of(*parts: str) -> dict[str, str]:
    """Option -> field, for fields and all fields of sections."""
    fields = [field for part in parts for field in TYPES if part in (field, field.partition(".")[0])]
    return {RENAMED.get(field) or field.partition(".")[2].replace("_", "-"): field for field in fields}


_WHERE = ("device", "precision", "augment", "loss", "body", "norm", "resident", "sync_norm", "deterministic")
# Heading of help -> option -> the configuration field that it sets.
FIELDS = {
    "What is learned": _options_of("network", "labels"),
    "Augmentation": _options_of("augmentation"),
    "Optimiser": _options_of("run.epochs", "run.batch_size", "run.accumulate", "optimiser", "run.seed"),
    "Where and how": _options_of(*(f"run.{name}" for name in _WHERE)),
}
FIELD_OF = {name.replace("-", "_"): field for options in FIELDS.values() for name, field in options.items()}
FLAGS = {"sync-norm": "--sync-norm/--own-norm", "deterministic": "--deterministic/--fastest"}
AUTO = "auto"


def _type(kind: Any, limits: Option) -> Any:
    """click's type for a field: it checks the range, and help prints it."""
    if limits.choices:
        return click.Choice(limits.choices)
    if kind not in (int, float):
        return None
    ends: Any = limits.low if limits.above is None else limits.above, limits.high or limits.below
    number: Any = click.IntRange if kind is int else click.FloatRange
    return number(*ends, min_open=limits.above is not None, max_open=limits.below is not None)


def _default(field: str) -> str:
    """The value of a field in every recipe: one where they agree."""
    section, _, name = field.partition(".")
    values: dict[str, list[str]] = {}
    for recipe, config in RECIPES.items():
        value = getattr(getattr(config, section), name)
        values.setdefault(_text(value), []).append(recipe)
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{', '.join(recipes)} {text}" for text, recipes in values.items())


def _text(value: object) -> str:
    """A value as it is typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _option(name: str, field: str) -> Decorator:
    """The option of a configuration field: its description, range and value in each recipe; None unless given."""
    limits = OPTIONS[field]
    description = f"{limits.text[:1].upper()}{limits.text[1:]}."
    if name in FLAGS:
        off = FLAGS[name].rpartition("--")[2]
        return click.option(FLAGS[name], default=None, help=f"{description}  [default: {off}]")
    text, metavar = f"{description}  [default: {_default(field)}]", {int: "COUNT", float: "NUMBER"}.get(TYPES[field])
    return click.option(f"--{name}", type=_type(TYPES[field], limits), metavar=metavar, help=text)


def _under(title: str, *names: str) -> Decorator:
    return heading(title, *(_option(name, FIELDS[title][name]) for name in names or FIELDS[title]))


def _count_or_auto(ctx: click.Context, param: click.Parameter, value: Any) -> int | str | None:
    count: int | str | None = value if value in (None, AUTO) else click.IntRange(1).convert(value, param, ctx)
    return count


def _configuration(recipe: str) -> Decorator:
    """The options of the configuration. recipe: the default, for the help."""
    text = f"The defaults of all fields.  [default: {recipe}]"
    return heading("Configuration", click.option("--recipe", type=click.Choice(list(RECIPES)), help=text), _fields)


_auto_batch = click.option(
    "--batch-size",
    callback=_count_or_auto,
    metavar="COUNT|auto",
    help="Galaxies in a step, over all processes; auto: the largest power of two that fits."
    f"  [default: {_default('run.batch_size')}]",
)
_fields = together(
    click.option("--config", "config_file", type=CSV, help="TOML file of fields over the recipe.  [default: none]"),
    click.option(
        "--set", "fields", multiple=True, metavar="KEY=VALUE", help="Any field, e.g. run.views=8.  [default: none]"
    ),
)
_validation = click.option(
    "--validation",
    help=f"Fraction of the galaxies to validate on, or a CSV of their ids.  [default: {_default('run.validation')}]",
)
_fold_ids = click.option("--fold-ids", type=CSV, help="Hold out only these ids in the folds.  [default: all labelled]")
_split = heading(
    "Galaxies",
    _validation,
    click.option("--folds", type=click.IntRange(1), help="Cross-validate with so many runs.  [default: one run]"),
    _fold_ids,
)
_optimiser = [name for name in FIELDS["Optimiser"] if name != "batch-size"]

# The options of `train` that say what to train, and how.
training = together(
    _configuration("seed; demo without STORE"),
    _split,
    heading(
        "What is learned",
        click.option(
            "--finetune",
            type=EXISTING,
            help="Begin with this run's weights and configuration; then half its lr, 30 epochs, batches of 64.  "
            "[default: random weights]",
        ),
    ),
    _under("What is learned"),
    _under("Augmentation"),
    heading("Optimiser", _auto_batch),
    _under("Optimiser", *_optimiser),
    _under("Where and how"),
)

# The rows of `ablate` differ in where and how; all else is as in `train`.
ablation = together(
    _configuration("seed"),
    heading("Galaxies", _validation),
    _under("What is learned"),
    _under("Augmentation"),
    _under("Optimiser", "batch-size", "lr", "weight-decay", "warmup", "clip", "average", "seed"),
    _under("Where and how", "device", "precision"),
)

# The folds of `sweep` choose its validation galaxies, and all its trials have the same batches.
sweeping = together(
    _configuration("seed"),
    heading("Galaxies", _fold_ids),
    _under("What is learned"),
    _under("Augmentation"),
    _under("Optimiser"),
    _under("Where and how"),
)


def settings_of(
    options: dict[str, Any], pairs: tuple[str, ...], validation: str | None
) -> tuple[dict[str, Any], Path | None]:
    """Take the options that name a configuration field out of `options`.

    Returns:
        Dotted fields, with those of --set; and the file of validation ids, where `validation` is a file.

    Raises:
        click.UsageError: a --set that is no pair, or names a field that an option names too.
    """
    given = {FIELD_OF[name]: options.pop(name) for name in FIELD_OF if name in options} | {"run.validation": validation}
    named = {name: value for name, value in given.items() if value is not None}
    by_set = dict(map(_pair, pairs))
    for key in named.keys() & by_set.keys():
        got = f"{named[key]!r} and {by_set[key]!r}"
        raise click.UsageError(f"Expected {key} once, got {got} (an option and --set): leave one out")
    settings = named | by_set
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
