"""The commands that runs with something wrong in them are given to."""

from collections.abc import Callable
from pathlib import Path

from tests.bad_input.spoilt import Case, World, file


def data_case(name: str, said: str, make: Callable[[World], tuple[object, ...]], *leaves: str) -> Case:
    """A case of wrong data: exit code 1."""
    return Case(name, make, 1, said, leaves)


def finetune(w: World, run: Path) -> tuple[object, ...]:
    return "train", w.store, "--finetune", run, "--run", w.out


def resume(world: World, run: Path, store: Path | None = None) -> tuple[object, ...]:
    return ("train", store or world.store, "--resume", "--run", run)


def predict(world: World, run: Path, source: Path | None = None, out: Path | None = None) -> tuple[object, ...]:
    return ("predict", run, source or world.store, "--out", out or world.out)


def unknown_ids(world: World) -> Path:
    """A list of an id that no galaxy has."""
    return file(world, "ids.csv", "GalaxyID\n5\n")
