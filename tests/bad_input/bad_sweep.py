"""Rows of the table of bad input: sweeps."""

from collections.abc import Callable
from pathlib import Path

from tests.bad_input.spoilt import Case, World, file


def _sweep(
    name: str, code: int, said: str, *more: object, make: Callable[[World], tuple[object, ...]] = lambda w: ()
) -> Case:
    """Sweep the tiny network over the sky with these options."""
    base = ("--trials", 1, "--folds", 2)
    return Case(f"sweep: {name}", lambda w: ("sweep", w.store, *w.tiny, *base, *more, *make(w)), code, said)


def _space(name: str, said: str, content: str) -> Case:
    return _sweep(name, 2, said, make=lambda w: ("--space", file(w, "s.toml", content)))


def _broken(world: World) -> Path:
    return file(world, "s/sweep.json", "{").parent


SWEEPS: tuple[Case, ...] = (
    _sweep("no trial", 2, "--trials", "--trials", 0),
    _sweep("one fold", 2, "--folds", "--folds", 1),
    _sweep("more folds than galaxies", 2, "Expected a galaxy for each of 45 folds, got 44", "--folds", 45),
    _sweep("galaxies held out twice", 2, "Expected folds alone to hold galaxies out", "--set", "run.validation=0.1"),
    _sweep("an option of train's", 2, "No such option", "--validation", 0.1),
    _sweep("no number of galaxies a step", 2, "'auto' is not a valid integer range", "--batch-size", "auto"),
    Case(
        "sweep: the largest batch",
        lambda w: ("sweep", w.store, "--trials", 1, "--set", "run.batch_size=auto"),
        2,
        "Expected the same batches in all trials, got auto",
    ),
    _sweep(
        "a folder of something else", 2, "or that of a sweep, got one with other files", make=lambda w: ("--out", w.run)
    ),
    _sweep(
        "a dry run in a folder of something else",
        2,
        "or that of a sweep, got one with other files",
        "--dry-run",
        make=lambda w: ("--out", w.run),
    ),
    _sweep("half a sweep.json", 1, "Expected the sweep.json of a sweep, got", make=lambda w: ("--out", _broken(w))),
    _sweep("below a file", 1, "got Not a directory", make=lambda w: ("--out", w.labels / "s")),
    _space("no TOML", "Expected a TOML file, got", "[run"),
    _space("no such field", "Expected a configuration field, got 'optimiser.speed'", "optimiser.speed = [1]"),
    _space("a range upside down", "to a higher high", "optimiser.lr = { low = 2, high = 1 }"),
    _space("a field of the pixels", "Expected a field to draw in", "preprocess.size = [24]"),
)
