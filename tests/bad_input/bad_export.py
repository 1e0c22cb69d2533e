"""Rows of the table of bad input: the export of a run."""

from pathlib import Path

from tests.bad_input import spoilt
from tests.bad_input.bad_run import WEIGHTS, WHOLE
from tests.bad_input.bad_use import BELOW
from tests.bad_input.spoilt import Case, World, image, images


def _use(name: str, said: str, out: str, *more: object) -> Case:
    return Case(f"export: {name}", lambda w: (*_export(w, w.run, w.new / out), *more), 2, said)


def _folder(world: World) -> Path:
    (world.new / "a.pt2").mkdir()
    return world.new / "a.pt2"


def _compared(name: str, said: str, content: bytes) -> Case:
    """Compare on the sky's images with one more."""
    return Case(f"export: {name}", lambda w: (*_export(w, w.run), "--compare", images(w, _7=content)), 1, said)


def _export(world: World, run: Path, out: Path | None = None) -> tuple[object, ...]:
    return ("export", run, "--out", out or world.new / "a.pt2", "--views", 1)


EXPORTS: tuple[Case, ...] = (
    _use("no .pt2", "Expected a file named .pt2, got out (--out)", "out"),
    _use("no view", "--views", "a.pt2", "--views", 0),
    Case("export: out is a folder", lambda w: _export(w, w.run, _folder(w)), 2, "Expected a file to write, got"),
    Case("export: out below a file", lambda w: _export(w, w.run, w.labels / "a.pt2"), 2, BELOW),
    Case("export: no run", lambda w: _export(w, w.store), 1, "Expected a run's config.toml, got none"),
    Case("export: half the weights", lambda w: _export(w, spoilt.run(w, WEIGHTS, spoilt.cut)), 1, WHOLE),
    _compared("a bad image", "do not decode (7.png)", b""),
    _compared("images of another size", "Expected 40 x 40 pixels, got 41 x 41", image(width=41, height=41)),
)
