"""A disk that is full: each command ends with a message, nothing half-written, and what was there as it was.

A file that may not grow (RLIMIT_FSIZE) fails where a full disk does: in a plain write. Python ignores the signal.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.folder import EpochRow
from galaxy_triton.system.errors import DataFault
from tests.bad_input import spoilt
from tests.bad_input.spoilt import World, make_world
from tests.bad_input.table import contents

FULL = "Expected to write it whole, got File too large"

world = pytest.fixture(make_world)


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def resumed(world: World, name: str, change: Callable[[Path], object] = lambda file: None) -> tuple[object, ...]:
    """`train --resume` of a copy of the run that has an epoch to go."""
    folder = spoilt.run(world, "config.toml", spoilt.replaced("epochs = 2", "epochs = 3"))
    change(folder / name)
    return ("train", world.store, "--resume", "--run", folder)


def padded(size: int) -> Callable[[Path], object]:
    """A change: the first line of the file is so many bytes longer."""
    return lambda file: file.write_text("x" * size + file.read_text())


# command -> its arguments, the bytes that a file may have, what is said, and what may be new
COMMANDS: dict[str, tuple[Callable[[World], tuple[object, ...]], int, str, tuple[str, ...]]] = {
    "pack": (lambda w: ("pack", w.images, "--labels", w.labels, "--out", w.out), 50_000, FULL, ()),
    "pack: the last file": (lambda w: ("pack", w.images, "--out", w.out, "--size", 1), 500, FULL, ()),
    "simulate: an image": (lambda w: ("simulate", w.out, "--count", 2), 2_000, FULL, ()),
    "info": (lambda w: ("info", w.store, "--montage", w.out), 5_000, FULL, ()),
    "predict": (lambda w: ("predict", w.run, w.store, "--out", w.out), 5_000, FULL, ()),
    "predict: over another": (
        lambda w: ("predict", w.run, w.store, "--out", spoilt.file(w, "old.csv", "mine")),
        5_000,
        FULL,
        (),
    ),
    "train: the start": (lambda w: ("train", w.store, *w.tiny, "--run", w.out), 10, FULL, ("out",)),
    "train: a checkpoint": (lambda w: ("train", w.store, *w.tiny, "--run", w.out), 5_000, FULL, ("out",)),
    "resume: the log": (
        lambda w: resumed(w, "log.txt", padded(100_000)),
        100_100,
        "Expected to write to it, got File too large",
        (),
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name: str, world: World, call: Callable[..., Result]) -> None:
    make, size, message, leaves = COMMANDS[name]
    arguments = make(world)
    before = contents(world)
    with room(size):
        result = call(*arguments)
    after = contents(world)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert (result.exit_code, "Traceback" in result.output) == (1, False), result.output
    assert message in " ".join(result.output.split())
    changed = {path for path in before if after.get(path) != before[path]}
    # an append to a text is the one write that may stop half-way: the file it belongs to is no more than that text
    assert {Path(path).name for path in changed} <= {"log.txt"}
    assert {Path(path).relative_to(world.new).parts[0] for path in after.keys() - before.keys()} <= set(leaves)
    assert not [path for path in after if path.endswith(".partial")]


def test_a_run_whose_checkpoint_did_not_fit_goes_on_when_there_is_room(
    world: World, call: Callable[..., Result]
) -> None:
    arguments = resumed(world, "log.txt")
    with room((world.run / "last" / "weights.safetensors").stat().st_size - 1):
        assert call(*arguments).exit_code == 1
    assert (world.new / "run" / "last" / "state.pt").read_bytes() == (world.run / "last" / "state.pt").read_bytes()
    world.succeed(*arguments)
    assert len((world.new / "run" / "metrics.csv").read_text().splitlines()) == 4


def test_a_row_of_metrics_that_does_not_fit(world: World) -> None:
    row = EpochRow(3, 0.1, 0.1, 0.1, 0.1, 1.0, 0.0, 1.0, 1.0)
    folder = spoilt.run(world, "metrics.csv", padded(1))
    with (
        room((folder / "metrics.csv").stat().st_size),
        pytest.raises(DataFault, match="to write to it, got File too l"),
    ):
        run_folder.add_metrics(folder, row)
