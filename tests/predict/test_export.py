"""An exported program: the answers of `predict`, with nothing but torch, and whole or not at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton import __version__
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.predict import export as export_module
from galaxy_triton.predict.export import DESCRIPTION, TOLERANCE, ExportOptions, export
from galaxy_triton.predict.submission import SubmissionOptions, predict
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train
from tests.support.tiny import FRAME

VIEWS = 3  # odd: none is mirrored

# Another way for all that a program holds: the tree, averaged weights, views shifted by half a pixel that reach a
# mirrored border.
OTHER = {
    "preprocess.crop": 33,
    "preprocess.size": 25,
    "augmentation.size": 24,
    "augmentation.border": "reflect",
    "network.head": "tree",
    "network.hidden": 0,
    "optimiser.average": 0.9,
    "run.epochs": 1,
}


@pytest.fixture(scope="module")
def frames(sky: Any) -> torch.Tensor:
    """The sky's images in the order of their ids: uint8 [48, 3, FRAME, FRAME]."""
    files = sorted(sky.images.iterdir(), key=lambda file: int(file.stem))
    return torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])


@pytest.fixture(scope="module")
def file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "galaxies.pt2"
    export(run, out, ExportOptions(views=VIEWS), Display(quiet=True))
    return out


@pytest.fixture
def predicted(sky: Any, tmp_path: Path, display: Display) -> Callable[[Path], np.ndarray[Any, Any]]:
    """predicted(run): what `predict` answers about the sky's images."""

    def ask(run: Path) -> np.ndarray[Any, Any]:
        predict(
            run, sky.images, tmp_path / "out.csv", SubmissionOptions(views=VIEWS, device="cpu", overwrite=True), display
        )
        return read_answers(tmp_path / "out.csv")[1]

    return ask


def answers(file: Path, frames: torch.Tensor) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = torch.export.load(file).module()(frames).numpy()
    return found


def test_export_answers_as_predict(
    run: Path, file: Path, frames: torch.Tensor, predicted: Callable[[Path], np.ndarray[Any, Any]]
) -> None:
    """In batches of any size."""
    wanted = predicted(run)
    for count in (48, 1):
        found = answers(file, frames[:count])
        assert (found.shape, found.dtype) == ((count, 37), np.float32)
        assert found == pytest.approx(wanted[:count], abs=TOLERANCE)
        assert len(np.unique(found.round(6), axis=0)) == count


def test_export_of_another_network(
    sky: Any,
    tiny: dict[str, Any],
    tmp_path: Path,
    display: Display,
    frames: torch.Tensor,
    predicted: Callable[[Path], np.ndarray[Any, Any]],
    succeed: Callable[..., str],
) -> None:
    run, store, out = tmp_path / "run", tmp_path / "store", tmp_path / "other.pt2"
    succeed("pack", sky.images, "--labels", sky.labels, "--out", store, "--crop", 33, "--size", 25)
    train(TrainOptions(store, settings={**tiny, **OTHER}, run=run), display)
    said = succeed("export", run, "--out", out, "--compare", sky.archive, "--views", VIEWS)
    assert "pixels   0 bytes other than Pillow's, on 48 images" in said
    assert answers(out, frames) == pytest.approx(predicted(run), abs=TOLERANCE)


@pytest.mark.process
def test_export_needs_nothing_but_torch(file: Path, frames: torch.Tensor, tmp_path: Path) -> None:
    """In a process that cannot import this package, nor what else it needs."""
    code = """
import sys
sys.modules |= dict.fromkeys(("galaxy_triton", "PIL", "pandas", "safetensors", "torchvision", "rich", "click"))
import torch
extra = {"galaxy-triton.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
torch.save((program(torch.load(sys.argv[2])), extra), sys.argv[3])
"""
    torch.save(frames[:5], tmp_path / "frames.pt")
    command = [sys.executable, "-c", code, file, tmp_path / "frames.pt", tmp_path / "answers.pt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, extra = torch.load(tmp_path / "answers.pt")
    assert found.numpy() == pytest.approx(answers(file, frames[:5]), abs=TOLERANCE)
    assert not found.requires_grad
    described = json.loads(extra[DESCRIPTION])
    assert described["columns"] == list(COLUMNS)
    assert described["preprocess"] == {"frame": FRAME, "crop": FRAME, "size": 24}
    kept = {"version": 1, "frame": FRAME, "recipe": "seed", "checkpoint": "last", "views": VIEWS}
    assert kept.items() <= described.items()
    assert __version__ in described["release"]


def test_export_contains_no_path_of_this_machine(file: Path) -> None:
    assert str(Path(export_module.__file__).parent).encode() not in file.read_bytes()


def test_export_refuses_another_frame(file: Path) -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        answers(file, torch.zeros(2, 3, FRAME, FRAME + 1, dtype=torch.uint8))


@pytest.mark.parametrize("fault", ["answers", "nan"])
def test_export_writes_nothing_when_the_program_answers_otherwise(
    fault: str, run: Path, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "galaxies.pt2"
    out.write_text("mine")
    factor = 1.5 if fault == "answers" else np.nan
    warp_views = export_module.warp_views
    monkeypatch.setattr(export_module, "warp_views", lambda *arguments: warp_views(*arguments) * factor)
    with pytest.raises(DataFault, match="the exported program"):
        export(run, out, ExportOptions(views=VIEWS, overwrite=True), display)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_export_compares_on_so_many_images(
    run: Path, sky: Any, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "COMPARED", 5)
    found = export(run, tmp_path / "a.pt2", ExportOptions("best", 1, sky.archive), display)
    assert (found.images, found.pixels) == (5, 0)
    assert 0 <= found.rms <= found.largest < 1e-6


def test_export_is_for_one_process(
    run: Path, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UsageFault, match="export"):
        export(run, tmp_path / "a.pt2", ExportOptions(), display)
