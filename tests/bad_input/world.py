"""What a case of the table of bad input is, and the small sky and run that its command works on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class World(NamedTuple):
    """The files that commands are given. `new` is an empty folder, the working one; `out` does not exist."""

    images: Path
    archive: Path
    labels: Path
    store: Path
    run: Path
    new: Path
    tiny: list[str]  # options of `train` that make it small, without --validation
    succeed: Callable[..., str]
    patch: pytest.MonkeyPatch

    @property
    def out(self) -> Path:
        return self.new / "out"

    @property
    def first(self) -> int:
        """The id of a labelled galaxy."""
        return int(min(file.stem for file in self.images.iterdir()))


Maker = Callable[[World], object]


def nothing(world: World) -> None:
    """The maker of a case whose command needs no bad input."""


class Case(NamedTuple):
    """A row of the table.

    command: its words; {images}, {store}, ... are the world's paths, {tiny} its options, {made} what `make` returns.
    code: the exit code. said: a part of the output. leaves: what may be new in the working folder. without_gpu: with a
    GPU it is no fault.
    """

    name: str
    command: str
    code: int
    said: str
    make: Maker = nothing
    leaves: tuple[str, ...] = ()
    without_gpu: bool = False

    def arguments(self, world: World) -> list[str]:
        """The command's words for this world, once its bad input is there."""
        values = {**world._asdict(), "out": world.out, "tiny": " ".join(world.tiny), "made": self.make(world)}
        return self.command.format(**values).split()


def fault(name: str, command: str, said: str, make: Maker = nothing, *leaves: str) -> Case:
    """Wrong data: exit code 1."""
    return Case(name, command, 1, said, make, leaves)


def usage(name: str, command: str, said: str, make: Maker = nothing, without_gpu: bool = False) -> Case:
    """Wrong use: exit code 2."""
    return Case(name, command, 2, said, make, without_gpu=without_gpu)


def success(name: str, command: str, said: str, make: Maker) -> Case:
    """Odd data that the command takes, writing `out`."""
    return Case(name, command, 0, said, make, ("out",))


def make_world(
    sky: Any,
    run: Path,
    tiny_options: Callable[..., list[str]],
    succeed: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """What becomes the fixture `world`: its arguments are fixtures."""
    monkeypatch.chdir(tmp_path)
    paths = (sky.images, sky.archive, sky.labels, sky.store, run, tmp_path)
    return World(*paths, tiny_options("run.validation"), succeed, monkeypatch)
