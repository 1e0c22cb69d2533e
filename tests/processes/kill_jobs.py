"""The commands that kills.py kills: their inputs, and the checks of the files that they leave."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from galaxy_triton.data.store import open_store, verify
from galaxy_triton.evaluate.report import PAGE, PLOTS, read_metrics
from galaxy_triton.runs import checkpoint
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.sky import IMAGES, VOTES
from galaxy_triton.system.whole_files import find_whole, target_name
from tests.support import processes

GALAXIES, COPIES = 60, 20  # of the simulated sky; of each of them among the images that are packed and predicted
FRAME, SIZE = 128, 32  # of those images and of the store, pixels
MEASURED = ["images_per_s", "waiting_for_data", "peak_memory_mib", "seconds"]

# Many short epochs of a network with many weights: saving takes half the time. At this rate few epochs are the best.
TRAINING = {
    "preprocess.frame": FRAME,
    "preprocess.crop": FRAME,
    "preprocess.size": SIZE,
    "augmentation.size": 24,
    "network.widths": "32,64",
    "network.convs": 1,
    "network.hidden": 2048,
    "optimiser.average": 0.9,
    "optimiser.lr": 0.02,
    "run.epochs": 60,
    "run.batch_size": 24,
    "run.validation": 0.25,
    "run.device": "cpu",
}

Arguments = tuple[str, ...]
Check = Callable[[Path, Path], None]  # of the folder that a killed and an undisturbed command worked in


class Bad(Exception):
    """A loss or a leftover that a kill must not cause."""


@dataclass(frozen=True)
class Job:
    """A command to kill, which works in an empty folder of its own. Paths are inside it.

    where: the folder it writes to. last: the file it writes last. check_left: raises if a file looks whole and is not.
    check_end: raises unless all files are as an undisturbed command leaves them. again: arguments that let a killed
    command finish, and the exit code they must have.
    """

    arguments: Arguments
    where: str
    last: str
    check_left: Check
    check_end: Check
    again: Callable[[Path], tuple[Arguments, int]]


class Inputs:
    """Inputs of the commands: smaller copies of a simulated sky's images, and a store and a run of them."""

    def __init__(self, folder: Path, galaxies: int = GALAXIES) -> None:
        self.folder, self.galaxies, self.sky = folder, galaxies, folder / "sky"
        self.images, self.store, self.run = folder / "images", folder / "store", folder / "run"

    def make(self) -> None:
        """Write them; half a minute."""
        self.images.mkdir(parents=True)
        self._command(simulate)
        for file in sorted((self.sky / IMAGES).iterdir()):
            small = Image.open(file).resize((FRAME, FRAME))
            small.save(self.images / f"{file.stem}.png")
            for copy in range(1, COPIES):
                small.rotate(copy * 360 / COPIES).save(self.images / f"{file.stem}{copy:02}.png")
        self._command(pack)
        self._command(train)

    def _command(self, job: Callable[["Inputs"], Job]) -> None:
        require_end(job(self).arguments, 0, self.folder)


def simulate(inputs: Inputs) -> Job:
    """Writes the folder `sky`."""
    return _whole_or_nothing("sky", ("simulate", "sky", "--count", str(inputs.galaxies)))


def pack(inputs: Inputs) -> Job:
    """Writes the folder `store`."""
    labelled = (str(inputs.images), "--labels", str(inputs.sky / VOTES))
    arguments = ("pack", *labelled, "--out", "store", "--size", str(SIZE), "--workers", "1")
    return _whole_or_nothing("store", arguments, check=lambda store: verify(open_store(store)))


def train(inputs: Inputs) -> Job:
    """Writes the folder `run`, and goes on in it."""
    base = ("train", str(inputs.store), "--run", "run")
    start = (*base, *(part for key, value in TRAINING.items() for part in ("--set", f"{key}={value}")))

    def again(folder: Path) -> tuple[Arguments, int]:
        return ((*base, "--resume") if (folder / "run" / run_folder.CONFIG).exists() else start), 0

    return Job(start, "run", f"run/{PAGE}", _check_run_left, _check_run_end, again)


def predict(inputs: Inputs) -> Job:
    """Writes the file `out.csv`."""
    what = (str(inputs.run), str(inputs.images), "--out", "out.csv")
    return _whole_or_nothing("out.csv", ("predict", *what, "--views", "2", "--device", "cpu"))


COMMANDS: dict[str, Callable[[Inputs], Job]] = {"simulate": simulate, "pack": pack, "train": train, "predict": predict}


def require(holds: bool, message: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise Bad(message)


def require_end(arguments: Arguments, code: int, folder: Path) -> None:
    """Run a command in a folder; raise unless it ends with this code."""
    ended = processes.end(processes.start(processes.application(*arguments), folder))
    good = ended.code == code and "Traceback" not in ended.said
    require(good, f"{arguments[0]} ended with {ended.code}, not {code}: {ended.said[-500:]}")


def _whole_or_nothing(target: str, arguments: Arguments, check: Callable[[Path], None] = lambda target: None) -> Job:
    """A command that writes one file or folder. Where it is there, a second call is wrong use."""

    def check_left(folder: Path, whole: Path) -> None:
        names = {path.name for path in folder.iterdir()}
        require({target_name(name) for name in names} <= {target}, f"files of other names: {names}")
        if target in names:
            check(folder / target)
            _require_same(folder / target, whole / target)

    def check_end(folder: Path, whole: Path) -> None:
        check(folder / target)
        _require_same(folder / target, whole / target)

    def again(folder: Path) -> tuple[Arguments, int]:
        return arguments, 2 if (folder / target).exists() else 0

    return Job(arguments, ".", target, check_left, check_end, again)


def _require_same(got: Path, want: Path) -> None:
    """Raise unless two files, or two folders, hold the same bytes."""
    these, those = _contents(got), _contents(want)
    different = sorted(name for name in {*these, *those} if these.get(name) != those.get(name))
    require(not different, f"{got} is not as an undisturbed command writes it: {different[:3]}")


def _contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in (path, *path.rglob("*")) if file.is_file()}


def _check_run_left(folder: Path, whole: Path) -> None:
    run, want = folder / "run", whole / "run"
    for name in (run_folder.CONFIG, run_folder.SPLIT, run_folder.SOURCE, PLOTS):
        if (run / name).exists():
            _require_same(run / name, want / name)
    if (run / PAGE).exists():
        require(_page(run) == _page(want), "another report.html")
    _check_progress(run)


def _check_progress(run: Path) -> None:
    """A row of metrics.csv may be ahead of `last`, and `best` may be, but neither may be behind."""
    metrics, saved = run / run_folder.METRICS, {}
    rows = metrics.read_text().count("\n") - 1 if metrics.exists() else 0
    for name in (run_folder.LAST, run_folder.BEST):
        if find_whole(run / name).exists():
            saved[name] = checkpoint.load(run / name).progress
    last = saved.get(run_folder.LAST, checkpoint.Progress())
    best = saved.get(run_folder.BEST, checkpoint.Progress())
    require(rows in (last.epoch, last.epoch + 1), f"{rows} rows of metrics.csv when `last` has {last.epoch} epochs")
    require(best.best_rmse <= last.best_rmse, f"`best` with RMSE {best.best_rmse}, while `last` knows a better one")
    require((run / run_folder.CONFIG).exists() or not saved, "a checkpoint in a folder that is no run")


def _check_run_end(folder: Path, whole: Path) -> None:
    run, want = folder / "run", whole / "run"
    for name in (run_folder.LAST, run_folder.BEST):
        _require_same_checkpoint(run / name, want / name)
    got, expected = (read_metrics(each / run_folder.METRICS).drop(columns=MEASURED) for each in (run, want))
    require(got.equals(expected), f"metrics.csv of {len(got)} rows is not as an undisturbed run writes it")
    require({path.name for path in run.iterdir()} == {path.name for path in want.iterdir()}, "other files in the run")
    _check_run_left(folder, whole)


def _require_same_checkpoint(got: Path, want: Path) -> None:
    for name in (checkpoint.WEIGHTS, checkpoint.AVERAGE):
        _require_same(got / name, want / name)
    one, other = checkpoint.load(got), checkpoint.load(want)
    require(one.progress == other.progress, f"{got} with {one.progress}, not {other.progress}")
    try:
        torch.testing.assert_close(one.state, other.state, rtol=0, atol=0)
    except AssertionError as error:
        raise Bad(f"{got / checkpoint.STATE}: {error}") from error


def _page(run: Path) -> str:
    """The report without the time that training took."""
    return re.sub(r"\d+ (h|min|s)\b", "", (run / PAGE).read_text())
