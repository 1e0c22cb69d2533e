"""A configuration as text and back: config.toml, --set key=value."""

import dataclasses
import tomllib
import types
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import Config, require, require_choice
from galaxy_triton.system.errors import UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import MAX_JSON, read_file

VERSION = 2  # of config.toml
# What files of an earlier version leave out because there was nothing else; their recipe may have it otherwise now.
BEFORE: dict[int, dict[str, Any]] = {1: {"labels.stretch": 1.0}, VERSION: {}}
CHOSEN = "chosen"  # section of config.toml that is written and never read


def override(config: Config, settings: dict[str, Any]) -> Config:
    """`config` with dotted fields replaced: {"optimiser.lr": "3e-4"}; text is read as the field's type.

    Raises:
        UsageFault: no such field, or a value that the field cannot hold.
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = _parse(key, value)
    # All sections at once: Config checks them against each other, and any order of single changes may pass through
    # a configuration that cannot be.
    return replace(config, **{name: replace(getattr(config, name), **values) for name, values in sections.items()})


def flat(config: Config) -> dict[str, Any]:
    """Every field by its dotted name, as `override` takes them."""
    sections = {name: getattr(config, name) for name in _sections()}
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in vars(section).items()}


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, with the format's version first."""
    return {"version": VERSION, **dataclasses.asdict(config)}


def from_dict(values: dict[str, Any], where: object, base: Config = SEED) -> Config:
    """The configuration that `to_dict` gave; fields left out keep the values of the recipe named in it, or of `base`.

    Raises:
        UsageFault: another format version, an unknown recipe, field or value.
    """
    version = values.get("version", VERSION)
    if version not in tuple(BEFORE):
        message = expected(f"format version 1 to {VERSION}", version, where, "use the release that wrote it")
        raise UsageFault(message)
    if "recipe" in values:
        require_choice("recipe", values["recipe"], tuple(RECIPES))
        base = RECIPES[values["recipe"]]
    settings = dict(BEFORE[version])
    for section, content in values.items():
        if section not in ("version", "recipe", CHOSEN):
            require_choice("section", section, tuple(_sections()))
            require(isinstance(content, dict), section, "a section of fields", content)
            settings |= {f"{section}.{name}": value for name, value in content.items()}
    return override(base, settings)


def to_toml(config: Config, chosen: dict[str, str] | None = None) -> str:
    """config.toml: a line a field, a section a class; what was `chosen` for each "auto" is for the reader only."""
    top, sections = [], []
    for key, value in {**to_dict(config), **({CHOSEN: chosen} if chosen else {})}.items():
        if isinstance(value, dict):
            lines = "\n".join(f"{name} = {_toml(entry)}" for name, entry in value.items())
            sections.append(f"\n[{key}]\n{lines}\n")
        else:
            top.append(f"{key} = {_toml(value)}\n")
    return "".join(top + sections)


def read_toml(file: Path, base: Config = SEED) -> Config:
    """The configuration in a file, as `from_toml`.

    Raises:
        UsageFault: not readable, no TOML, or a field or value that cannot be.
    """
    return from_dict(toml_values(file), file, base)


def toml_values(file: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        UsageFault: not readable, or no TOML.
    """
    try:
        text = read_file(file, MAX_JSON).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(expected("a TOML file", reason(error), file, "name another")) from error
    return _toml_values(text, file)


def from_toml(text: str, where: object, base: Config = SEED) -> Config:
    """Read what `to_toml` wrote, or a hand-written part of it.

    Raises:
        UsageFault: no TOML, or a field or value that cannot be.
    """
    return from_dict(_toml_values(text, where), where, base)


def _toml_values(text: str, where: object) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageFault(expected("a TOML file", error, where, "mend that line")) from error


def _parse(key: str, value: Any) -> Any:
    types_of = _field_types()
    if key not in types_of:
        known = ", ".join(sorted(types_of))
        raise UsageFault(expected("a configuration field", repr(key), "--set or the TOML file", f"use one of {known}"))
    kind = types_of[key]
    try:
        return _read(kind, value)
    except (TypeError, ValueError, OverflowError) as error:
        name = str(kind) if isinstance(kind, types.GenericAlias) else kind.__name__
        raise UsageFault(expected(f"{key} of type {name}", repr(value), "--set or the TOML file", "mend it")) from error


def _read(kind: Any, value: Any) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[str(value).lower()] if str(value).lower() in ("true", "false") else _no()
    if isinstance(kind, types.GenericAlias):
        entries = value.strip().removeprefix("[").removesuffix("]").split(",") if isinstance(value, str) else value
        return tuple(_read(int, entry) for entry in entries)
    if kind is int and isinstance(value, float):
        return int(value) if value.is_integer() else _no()
    return kind(value) if not isinstance(value, bool) else _no()


def _no() -> typing.NoReturn:
    raise ValueError("not a value of this field")


def _field_types() -> dict[str, Any]:
    return {f"{name}.{f.name}": f.type for name, kind in _sections().items() for f in dataclasses.fields(kind)}


def _sections() -> dict[str, type]:
    kinds = ((field.name, field.type) for field in dataclasses.fields(Config))
    return {name: typing.cast(type, kind) for name, kind in kinds if dataclasses.is_dataclass(kind)}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else repr(value)
