"""A configuration as text and back: config.toml, --set KEY=VALUE."""

import dataclasses
import difflib
import tomllib
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import SECTIONS, TYPES, Config, require, require_choice
from galaxy_triton.system.errors import UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import MAX_JSON, read_file

VERSION = 3  # of config.toml
# Values of the fields that an earlier version lacked; its recipes may have other values now.
BEFORE: dict[int, dict[str, Any]] = {1: {"labels.stretch": 1.0}, 2: {}, VERSION: {}}
REMOVED = ("run.repeat",)  # fields of earlier versions
CHOSEN = "chosen"  # section of config.toml that is written and never read


def override(config: Config, settings: dict[str, Any], where: object = "--set or the TOML file") -> Config:
    """`config` with fields replaced by dotted name, e.g. {"optimiser.lr": "3e-4"}; text is read as the field's type.

    Args:
        where: the source of the settings, for messages.

    Raises:
        UsageFault: no such field, or a value that the field cannot hold.
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = _parse(key, value, where)
    # All sections at once: Config checks them against each other, and single changes could pass an invalid state.
    return replace(config, **{name: replace(getattr(config, name), **values) for name, values in sections.items()})


def flat(config: Config) -> dict[str, Any]:
    """Every field's value by its dotted name."""
    return {f"{name}.{key}": value for name in SECTIONS for key, value in vars(getattr(config, name)).items()}


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, with the format's version first."""
    return {"version": VERSION, **dataclasses.asdict(config)}


def from_dict(values: dict[str, Any], where: object, base: Config = SEED) -> Config:
    """The inverse of `to_dict`; a field that is left out keeps its value of the recipe named in it, or of `base`.

    Raises:
        UsageFault: another format version, an unknown recipe, field or value.
    """
    version = values.get("version", VERSION)
    if version not in tuple(BEFORE):
        do = "use the release that wrote it"
        raise UsageFault(expected(f"format version 1 to {VERSION}", version, where, do))
    if "recipe" in values:
        require_choice("recipe", values["recipe"], tuple(RECIPES))
        base = RECIPES[values["recipe"]]
    settings = dict(BEFORE[version])
    for section, content in values.items():
        if section not in ("version", "recipe", CHOSEN):
            require_choice("section", section, tuple(SECTIONS))
            require(isinstance(content, dict), section, "a section of fields", content)
            settings |= {f"{section}.{name}": value for name, value in content.items()}
    if version < VERSION:
        settings = {name: value for name, value in settings.items() if name not in REMOVED}
    return override(base, settings, where)


def to_toml(config: Config, chosen: dict[str, str] | None = None) -> str:
    """The text of config.toml. chosen: what each "auto" became on this machine, for human readers only."""
    top, sections = [], []
    for key, value in {**to_dict(config), **({CHOSEN: chosen} if chosen else {})}.items():
        if isinstance(value, dict):
            lines = "\n".join(f"{name} = {_toml(entry)}" for name, entry in value.items())
            sections.append(f"\n[{key}]\n{lines}\n")
        else:
            top.append(f"{key} = {_toml(value)}\n")
    return "".join(top + sections)


def read_toml(file: Path, base: Config = SEED) -> Config:
    """The configuration in a file, which may name only some fields; the others are those of its recipe or of `base`.

    Raises:
        UsageFault: not readable, no TOML, or a field or value that cannot be.
    """
    return from_dict(toml_values(file), file, base)


def toml_values(file: Path) -> dict[str, Any]:
    """The values in a TOML file.

    Raises:
        UsageFault: not readable, or no TOML.
    """
    try:
        return tomllib.loads(read_file(file, MAX_JSON).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(expected("a TOML file", reason(error), file, "name another")) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageFault(expected("a TOML file", error, file, "correct that line")) from error


def _parse(key: str, value: Any, where: object) -> Any:
    if key not in TYPES:
        raise UsageFault(expected("a configuration field", repr(key), where, _suggestion(key)))
    kind = TYPES[key]
    try:
        return _read(kind, value)
    except (TypeError, ValueError, OverflowError) as error:
        want = f"{key} of type {kind if isinstance(kind, types.GenericAlias) else kind.__name__}"
        raise UsageFault(expected(want, repr(value), where, "correct it")) from error


def _suggestion(key: str) -> str:
    """Advice for an unknown field: the fields of that name in other sections, else those spelled most like it."""
    last = key.rpartition(".")[2]
    close = [name for name in TYPES if name.endswith(f".{last}")] or difflib.get_close_matches(key, TYPES, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else "use a field of the config.toml of a run"


def _read(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.GenericAlias):
        entries = value.strip().removeprefix("[").removesuffix("]").split(",") if isinstance(value, str) else value
        return tuple(_read(int, entry) for entry in entries)
    if kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if kind is bool or isinstance(value, bool) or (kind is int and isinstance(value, float) and int(value) != value):
        raise ValueError(f"not of type {kind}")
    return kind(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else repr(value)
