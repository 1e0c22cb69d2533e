"""The fields that `sweep` draws, each from a range or from choices, as plain data."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxy_triton.config import toml as settings
from galaxy_triton.config.schema import Config, require
from galaxy_triton.system.errors import UsageFault, expected

# Fields that trials may change. Trials share pixels, galaxies and seeds, so that they can be compared; the choice of
# device and implementations changes their speed alone.
SECTIONS = ("augmentation", "network", "optimiser")
OF_RUN = ("run.epochs", "run.batch_size")

Choice = bool | int | float | str


@dataclass(frozen=True)
class Range:
    """From low to high, both included; whole numbers for an integer field. log: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False


Choices = tuple[Choice, ...]
Space = dict[str, Range | Choices]

SPACE: Space = {
    "optimiser.lr": Range(5e-4, 2e-2, log=True),
    "optimiser.weight_decay": Range(1e-3, 2e-1, log=True),
    "optimiser.warmup": Range(0.02, 0.4),
    "optimiser.average": (0.0, 0.99, 0.999),
    "network.head": ("sigmoid", "tree"),
    "network.dropout": Range(0.0, 0.5),
    "augmentation.zoom": Range(1.0, 1.4),
    "augmentation.shift": Range(0.0, 0.1),
}


def read_space(file: Path) -> Space:
    """A space from a TOML file: a section's field is { low = 1e-3, high = 1e-2, log = true }, or a list of choices.

    Raises:
        UsageFault: no TOML, no field in it, or a field that is neither a range nor choices.
    """
    values = settings.toml_values(file)
    fields = {f"{name}.{field}": part for name, section in values.items() for field, part in _section(name, section)}
    if not fields:
        raise UsageFault(expected("fields to draw", "none", file, "write for example optimiser.lr = [1e-3, 4e-3]"))
    return {field: _part(field, part, file) for field, part in fields.items()}


def check_space(space: Space, config: Config) -> None:
    """Raise unless every field may be drawn, and each end and choice by itself gives a valid configuration.

    Raises:
        UsageFault: a field may not be drawn, or a value of it is not valid.
    """
    for field, part in space.items():
        drawn = field.split(".")[0] in SECTIONS or field in OF_RUN
        require(drawn, "a field to draw", f"in {', '.join(SECTIONS)}, or {' or '.join(OF_RUN)}", repr(field))
        for value in (part.low, part.high) if isinstance(part, Range) else part:
            settings.override(config, {field: value})


def is_whole(config: Config, field: str) -> bool:
    """Whether a field is an integer."""
    section, _, name = field.partition(".")
    return type(getattr(getattr(config, section), name)) is int


def line(field: str, part: Range | Choices) -> str:
    """A field of a space as a line of text."""
    if isinstance(part, Range):
        return f"{field} from {part.low:g} to {part.high:g}" + ", by its logarithm" * part.log
    return f"{field} of {', '.join(map(str, part))}"


def _section(name: str, section: Any) -> list[tuple[str, Any]]:
    require(isinstance(section, dict), name, "a section of fields", section)
    return list(section.items())


def _part(field: str, part: Any, file: Path) -> Range | Choices:
    try:
        if isinstance(part, list) and part:
            return tuple(map(_choice, part))
        found = Range(**part)
        if not all(type(end) in (int, float) for end in (found.low, found.high)) or type(found.log) is not bool:
            raise TypeError("ends that are no numbers")
    except TypeError as error:
        want, do = f"{field} as {{ low, high, log }} or a list of choices", "mend that line"
        raise UsageFault(expected(want, part, file, do)) from error
    lowest = 0.0 if found.log else -math.inf
    require(lowest < found.low < found.high < math.inf, field, f"from above {lowest} to a higher high", part)
    return found


def _choice(value: Any) -> Choice:
    """Lists become text as --set takes it: [8, 16] becomes "8,16"."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if not isinstance(value, bool | int | float | str):
        raise TypeError("a choice that is no plain value")
    return value
