"""The device that kernels are tested on, and a small labelled sky with a run trained on it, which tests only read."""

import csv
import fcntl
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console

from tests.support.tiny import FRAME, TINY

# Without a GPU the kernels run in Triton's interpreter; it must be chosen before their first import.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from galaxy_triton.cli.main import main
from galaxy_triton.data.pack import pack
from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SPANS
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train
from galaxy_triton.train.session import Session
from tests.support import figures
from tests.support.sessions import open_session

ROOT = Path(__file__).resolve().parents[1]

IN_CI = ("tests/processes", "tests/bench")  # folders whose tests are `process`, except those marked `daily`

# The processes that tests start run this tree's code too.
os.environ["PYTHONPATH"] = str(ROOT)

# Threads that wait for each other cost such small work more than they gain.
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # pytest deselects by marker in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes or test bench/."""
    for item in items:
        folder = item.path.parent.relative_to(ROOT).as_posix()
        if folder in IN_CI and "daily" not in item.keywords and "slow" not in item.keywords:
            item.add_marker("process")


GALAXIES, LABELLED = 48, 44


class Sky(NamedTuple):
    """48 galaxies, the first 44 by id with answers that obey the tree; on disk in every form a command takes."""

    images: Path  # a folder of PNGs, named by id
    archive: Path  # the same in a zip
    labels: Path  # the table of answers
    store: Path  # both, packed as TINY wants
    ids: np.ndarray[Any, np.dtype[np.int64]]  # [48]
    answers: np.ndarray[Any, np.dtype[np.float64]]  # [44, 37]


@pytest.fixture(scope="session", autouse=True)
def light_figures() -> Iterator[None]:
    """Reports are written without drawing their figures, except under `real_figures`."""
    with figures.light_figures():
        yield


@pytest.fixture(scope="module")
def real_figures() -> Iterator[None]:
    with figures.real_figures():
        yield


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings that make the seed recipe small enough to train in a second."""
    return dict(TINY)


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    folder = tmp_path_factory.mktemp("sky")
    rng = np.random.default_rng(11)
    # Ids as Kaggle's: six digits, no order to speak of.
    ids = np.sort(rng.choice(np.arange(100_000, 1_000_000), GALAXIES, replace=False)).astype(np.int64)
    answers = _tree_answers(rng, LABELLED)
    shapes = np.concatenate([answers[:, 0], np.full(GALAXIES - LABELLED, 0.5)])
    (folder / "images").mkdir()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number, shape in zip(ids, shapes, strict=True):
            png = _blob(rng, shape)
            (folder / "images" / f"{number}.png").write_bytes(png)
            archive.writestr(f"images/{number}.png", png)
    _write_table(folder / "labels.csv", ids[:LABELLED], answers)
    pack(folder / "images", folder / "labels.csv", folder / "store", size=TINY["preprocess.size"], workers=1)
    return Sky(folder / "images", folder / "images.zip", folder / "labels.csv", folder / "store", ids, answers)


@pytest.fixture(scope="session")
def run(sky: Sky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs on the sky."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(TrainOptions(sky.store, settings=TINY, run=folder), Display(Console(file=io.StringIO())))
    return folder


@pytest.fixture(scope="session")
def make_session(sky: Sky) -> Callable[..., Session]:
    """make_session(folder, **{"optimiser.lr": 1, ...}): the session of a small run on the sky."""
    return lambda folder, **settings: open_session(sky.store, folder, {**TINY, **settings})


@pytest.fixture(scope="session")
def read_metrics() -> Callable[[Path], list[dict[str, str]]]:
    """read_metrics(run): the rows of metrics.csv without what a clock or the system's memory says."""
    measured = ("images_per_s", "waiting_for_data", "peak_memory_mib", "seconds")

    def read(folder: Path) -> list[dict[str, str]]:
        with (folder / run_folder.METRICS).open(newline="") as handle:
            table = list(csv.DictReader(handle))
        return [{name: value for name, value in row.items() if name not in measured} for row in table]

    return read


@pytest.fixture(scope="session")
def call() -> Callable[..., Result]:
    """call("info", store): what the command line does with these arguments."""
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="session")
def succeed(call: Callable[..., Result]) -> Callable[..., str]:
    """As `call`, but the command must end well; what it said is returned."""

    def run(*arguments: object) -> str:
        result = call(*arguments)
        assert result.exit_code == 0, result.output + repr(result.exception)
        return str(result.output)

    return run


@pytest.fixture(scope="session")
def tiny_options() -> Callable[..., list[str]]:
    """tiny_options("run.epochs"): TINY as options of `train`, without the fields named."""

    def options(*without: str) -> list[str]:
        texts = {key: ",".join(map(str, value)) if isinstance(value, tuple) else value for key, value in TINY.items()}
        return [part for key, text in texts.items() if key not in without for part in ("--set", f"{key}={text}")]

    return options


@pytest.fixture
def display() -> Display:
    """Says nothing to the terminal: what was said is in `display.console.file`."""
    return Display(Console(file=io.StringIO(), width=200))


def _tree_answers(rng: np.random.Generator, rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Answers that obey every sum of the tree, float64 [rows, 37]."""
    answers = np.zeros((rows, len(COLUMNS)))
    # A parent stands before what hangs from it once the questions are sorted by the parent's column.
    for span, parent in sorted(zip(SPANS, PARENTS, strict=True), key=lambda pair: -1 if pair[1] is None else pair[1]):
        shares = rng.dirichlet(np.ones(span.stop - span.start), rows)
        answers[:, span] = shares * (1 if parent is None else answers[:, parent, None])
    return answers


def _blob(rng: np.random.Generator, shape: float) -> bytes:
    """A PNG of a galaxy: the smoother, the rounder and redder."""
    y, x = np.mgrid[:FRAME, :FRAME] - (FRAME - 1) / 2
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    light = np.exp(-0.5 * (along**2 + (across / (0.2 + 0.8 * shape)) ** 2) / 6**2)
    colour = np.array([1.0, 0.8, 1.0 - 0.6 * shape])
    pixels = 220 * light[:, :, None] * colour + rng.uniform(0, 20, (FRAME, FRAME, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _write_table(path: Path, ids: np.ndarray[Any, Any], answers: np.ndarray[Any, Any]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["GalaxyID", *COLUMNS])
        writer.writerows([number, *row] for number, row in zip(ids.tolist(), answers.tolist(), strict=True))


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """without_locks(errno): from now on no file system has locks, as that error says."""

    def refuse(number: int) -> None:
        def refused(handle: int, operation: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refused)

    return refuse
