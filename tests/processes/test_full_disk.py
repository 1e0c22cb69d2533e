"""A disk that is full: each command ends with a message, nothing half-written, and what was there as it was.

A file that may not grow (RLIMIT_FSIZE) fails where a full disk does: in a plain write. Python ignores the signal.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from tests.bad_input import damage
from tests.bad_input.table import contents, said
from tests.bad_input.world import Case, World, fault, make_world, nothing

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


def longer_run(world: World) -> Path:
    """A copy of the run that has an epoch to go."""
    return damage.run(world, "config.toml", damage.replace("epochs = 2", "epochs = 3"))


def longer_log(world: World) -> Path:
    """The same, with a log of more than 100,000 bytes."""
    folder = longer_run(world)
    log = folder / "log.txt"
    log.write_text("x" * 100_000 + log.read_text())
    return folder


def old_table(world: World) -> Path:
    return damage.file(world, "old.csv", "mine")


RESUME = "train {store} --resume --run {made}"
# a case, and the bytes that a file may have
CASES = (
    (fault("pack", "pack {images} --labels {labels} --out {out}", FULL), 50_000),
    (fault("simulate", "simulate {out} --count 2", FULL), 2_000),
    (fault("info", "info {store} --montage {out}.png", FULL), 5_000),
    (fault("predict: over another", "predict {run} {store} --out {made} --overwrite", FULL, old_table), 5_000),
    (fault("train: the start", "train {store} {tiny} --run {out}", FULL, nothing, "out"), 10),
    (fault("resume: the log", RESUME, "Expected to write to it, got File too large", longer_log), 100_100),
)


@pytest.mark.parametrize(("case", "size"), CASES, ids=[case.name for case, _ in CASES])
def test_a_full_disk(case: Case, size: int, world: World, call: Callable[..., Result]) -> None:
    arguments = case.arguments(world)
    before = contents(world)
    with room(size):
        result = call(*arguments)
    after = contents(world)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert (result.exit_code, "Traceback" in result.output) == (1, False), result.output
    assert case.said in said(result)
    changed = {path for path in before if after.get(path) != before[path]}
    # an append to a text is the one write that may stop half-way: the file it belongs to is no more than that text
    assert {Path(path).name for path in changed} <= {"log.txt"}
    assert {Path(path).relative_to(world.new).parts[0] for path in after.keys() - before.keys()} <= set(case.leaves)
    assert not [path for path in after if path.endswith(".partial")]


def test_a_run_whose_checkpoint_did_not_fit_goes_on_when_there_is_room(
    world: World, call: Callable[..., Result]
) -> None:
    arguments = RESUME.format(store=world.store, made=longer_run(world)).split()
    with room((world.run / "last" / "weights.safetensors").stat().st_size - 1):
        assert call(*arguments).exit_code == 1
    assert (world.new / "run" / "last" / "state.pt").read_bytes() == (world.run / "last" / "state.pt").read_bytes()
    world.succeed(*arguments)
    assert len((world.new / "run" / "metrics.csv").read_text().splitlines()) == 4
