"""The fields that `sweep` draws, each from a range or from choices, as plain data."""

import math
from pathlib import Path
from typing import Any

from galaxy_triton.config import toml
from galaxy_triton.config.schema import Config, require
from galaxy_triton.system.errors import UsageFault, expected

# Fields that trials may change. Trials share pixels, galaxies and seeds, so that they can be compared; the choice of
# device and implementations changes their speed alone.
SECTIONS = ("augmentation", "network", "optimiser")
OF_RUN = ("run.epochs", "run.batch_size")

# {"low": 1e-3, "high": 1e-2, "log": True}, both ends included and whole numbers for an integer field; or the choices.
Part = dict[str, Any] | list[Any]
Space = dict[str, Part]

SPACE: Space = {
    "optimiser.lr": {"low": 5e-4, "high": 2e-2, "log": True},
    "optimiser.weight_decay": {"low": 1e-3, "high": 2e-1, "log": True},
    "optimiser.warmup": {"low": 0.02, "high": 0.4, "log": False},
    "optimiser.average": [0.0, 0.99, 0.999],
    "network.head": ["sigmoid", "tree"],
    "network.dropout": {"low": 0.0, "high": 0.5, "log": False},
    "augmentation.zoom": {"low": 1.0, "high": 1.4, "log": False},
    "augmentation.shift": {"low": 0.0, "high": 0.1, "log": False},
}


def read_space(file: Path) -> Space:
    """A space from a TOML file: a section's field is { low = 1e-3, high = 1e-2, log = true }, or a list of choices.

    Raises:
        UsageFault: no TOML, no field in it, or a field that is neither a range nor choices.
    """
    space: Space = {}
    for name, section in toml.toml_values(file).items():
        require(isinstance(section, dict), name, "a section of fields", section)
        space |= {f"{name}.{field}": _part(f"{name}.{field}", part, file) for field, part in section.items()}
    if not space:
        raise UsageFault(expected("fields to draw", "none", file, "write for example optimiser.lr = [1e-3, 4e-3]"))
    return space


def check_space(space: Space, config: Config) -> None:
    """Raise unless every field may be drawn, and each end and choice by itself gives a valid configuration.

    Raises:
        UsageFault: a field may not be drawn, or a value of it is not valid.
    """
    for field, part in space.items():
        drawn = field.split(".")[0] in SECTIONS or field in OF_RUN
        require(drawn, "a field to draw", f"in {', '.join(SECTIONS)}, or {' or '.join(OF_RUN)}", repr(field))
        for value in part if isinstance(part, list) else (part["low"], part["high"]):
            toml.override(config, {field: value})


def line(field: str, part: Part) -> str:
    """A field of a space as a line of text."""
    if isinstance(part, list):
        return f"{field} of {', '.join(map(str, part))}"
    by_logarithm = ", by its logarithm" if part["log"] else ""
    return f"{field} from {part['low']:g} to {part['high']:g}{by_logarithm}"


def _part(field: str, part: Any, file: Path) -> Part:
    if isinstance(part, list) and part:
        # Lists become text as --set takes it: [8, 16] becomes "8,16".
        choices = [",".join(map(str, value)) if isinstance(value, list) else value for value in part]
        if all(isinstance(value, bool | int | float | str) for value in choices):
            return choices
    if isinstance(part, dict) and _is_range(found := part | {"log": part.get("log", False)}):
        return found
    want = f"{field} as {{ low, high, log }} with low below high (and above 0 for log), or as a list of choices"
    raise UsageFault(expected(want, part, file, "correct that line"))


def _is_range(part: dict[str, Any]) -> bool:
    if part.keys() != {"low", "high", "log"} or type(part["log"]) is not bool:
        return False
    low, high = part["low"], part["high"]
    numbers = all(type(end) in (int, float) and math.isfinite(end) for end in (low, high))
    return numbers and low < high and (low > 0 or not part["log"])
