"""Kills simulate, pack, train and predict with SIGKILL at random moments, looks at what is left, and lets them finish.

    python tests/kills.py --kills 20 --seed 1 --out kills.csv

Writes a row for each kill and prints a line for each command. Exit code 1 if something half-written passed for whole,
a process outlived the killed one, or the command, run again, did not end with what an undisturbed one writes.
"""

import argparse
import csv
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from signal import SIGKILL

import torch
from PIL import Image

from galaxy_triton import checkpoint, files, run_folder
from galaxy_triton.errors import DataFault
from galaxy_triton.report import PAGE, PLOTS, read_metrics
from galaxy_triton.simulate import IMAGES, VOTES
from galaxy_triton.store import open_store, verify

GALAXIES, COPIES = 60, 20  # of the simulated sky; of each of them among the images that are packed and predicted
FRAME, SIZE = 128, 32  # of those images and of the store, pixels
BEYOND = 1.05  # the last moments may come after the last file, when the process is on its way out
POLL, PATIENCE, LIMIT = 0.002, 1.0, 300.0  # seconds between two looks, for others to end, for a whole command
MEASURED = ["images_per_s", "waiting_for_data", "peak_memory_mib", "seconds"]

# Many short epochs: saving takes a good part of them. At this rate `best` is not always the last one.
TRAINING = {
    "preprocess.frame": FRAME,
    "preprocess.crop": FRAME,
    "preprocess.size": SIZE,
    "augmentation.size": 24,
    "network.widths": "32,64",
    "network.convs": 1,
    "network.hidden": 256,
    "optimiser.average": 0.9,
    "optimiser.lr": 0.02,
    "run.epochs": 40,
    "run.batch_size": 8,
    "run.validation": 0.25,
    "run.device": "cpu",
}

Arguments = tuple[str, ...]
Check = Callable[[Path, Path], None]  # of the folder that a killed and an undisturbed command worked in


class Bad(AssertionError):
    """What a killed command must not leave."""


@dataclass(frozen=True)
class Job:
    """A command to kill, which works in an empty folder of its own. Paths are inside it.

    where: the folder it writes to. last: what it writes last. check_left: raises unless all that passes for whole is.
    check_end: raises unless all is as an undisturbed command leaves it. again: arguments that bring a killed one to its
    end, and the exit code they must have.
    """

    arguments: Arguments
    where: str
    last: str
    check_left: Check
    check_end: Check
    again: Callable[[Path], tuple[Arguments, int]]


@dataclass(frozen=True)
class Whole:
    """What an undisturbed command wrote, and the seconds from its first file to its last."""

    folder: Path
    span: float


@dataclass(frozen=True)
class Kill:
    """A row of the table. moment: seconds after the first file. outcome: "good", or what was wrong."""

    command: str
    number: int
    moment: float
    phase: str
    found: str
    outcome: str


class Inputs:
    """What the commands read: smaller copies of a simulated sky's images, and a store and a run of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sky = folder, folder / "sky"
        self.images, self.store, self.run = folder / "images", folder / "store", folder / "run"

    def make(self) -> None:
        self.images.mkdir(parents=True)
        self._command(simulate)
        for file in sorted((self.sky / IMAGES).iterdir()):
            small = Image.open(file).resize((FRAME, FRAME))
            small.save(self.images / f"{file.stem}.png")
            for copy in range(1, COPIES):
                small.rotate(copy * 360 / COPIES).save(self.images / f"{file.stem}{copy:02}.png")
        self._command(pack)
        self._command(train)

    def _command(self, job: "Callable[[Inputs], Job]") -> None:
        _require_end(job(self).arguments, 0, self.folder)


def simulate(inputs: Inputs) -> Job:
    return _whole_or_nothing("sky", ("simulate", "sky", "--count", str(GALAXIES)), replaces=False)


def pack(inputs: Inputs) -> Job:
    labelled = (str(inputs.images), "--labels", str(inputs.sky / VOTES))
    arguments = ("pack", *labelled, "--out", "store", "--size", str(SIZE), "--workers", "1")
    return _whole_or_nothing("store", arguments, replaces=False, check=lambda store: verify(open_store(store)))


def train(inputs: Inputs) -> Job:
    base = ("train", str(inputs.store), "--run", "run")
    start = (*base, *(part for key, value in TRAINING.items() for part in ("--set", f"{key}={value}")))

    def again(folder: Path) -> tuple[Arguments, int]:
        return ((*base, "--resume") if (folder / "run" / run_folder.CONFIG).exists() else start), 0

    return Job(start, "run", f"run/{PAGE}", _check_run_left, _check_run_end, again)


def predict(inputs: Inputs) -> Job:
    what = (str(inputs.run), str(inputs.images), "--out", "out.csv")
    return _whole_or_nothing("out.csv", ("predict", *what, "--views", "2", "--device", "cpu"), replaces=True)


COMMANDS: dict[str, Callable[[Inputs], Job]] = {"simulate": simulate, "pack": pack, "train": train, "predict": predict}


def undisturbed(job: Job, folder: Path) -> Whole:
    """Run a command to its end in a new folder."""
    process = _start(job, folder)
    began = _wait_until(lambda: any(folder.iterdir()), process, folder)
    ended = _wait_until((folder / job.last).exists, process, folder)
    if process.wait(LIMIT) != 0:
        raise RuntimeError(_log(folder).read_text())
    return Whole(folder, ended - began)


def moments(command: str, kills: int, seed: int, span: float) -> list[float]:
    """A random moment in each of `kills` equal parts of the time in which a command works."""
    rng = random.Random(f"{command} {seed}")
    return [(part + rng.random()) / kills * BEYOND * span for part in range(kills)]


def kill(command: str, number: int, job: Job, moment: float, whole: Whole, folder: Path) -> Kill:
    """Kill a command in a new folder, `moment` seconds after its first file; look at what it left; let it finish."""
    session, phase = _killed(job, moment, folder)
    found = ", ".join(sorted(map(_described, (folder / job.where).iterdir())))
    try:
        _require_no_survivor(session)
        job.check_left(folder, whole.folder)
        _require_end(*job.again(folder), folder)
        job.check_end(folder, whole.folder)
        _require_no_leftover(folder)
        outcome = "good"
    except (Bad, DataFault) as fault:
        outcome = str(fault)
    return Kill(command, number, round(moment, 3), phase, found, outcome)


def _killed(job: Job, moment: float, folder: Path) -> tuple[int, str]:
    """Kill the process that leads the session, and it alone: the session, and how far the command was."""
    process = _start(job, folder)
    began = _wait_until(lambda: any(folder.iterdir()), process, folder)
    time.sleep(max(0.0, began + moment - time.perf_counter()))
    process.kill()
    if process.wait() != -SIGKILL:
        return process.pid, "after the end"
    return process.pid, "all written" if (folder / job.last).exists() else "while writing"


def _start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    with _log(folder).open("wb") as log:
        return subprocess.Popen(
            _command_line(job.arguments), cwd=folder, env=_environment(), stdout=log, stderr=log, start_new_session=True
        )


def _wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> float:
    """The time at which it holds."""
    while not holds():
        if process.poll() is not None and not holds():
            raise RuntimeError(f"Expected it to write more before its end: {_log(folder).read_text()}")
        time.sleep(POLL)
    return time.perf_counter()


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")


def _command_line(arguments: Arguments) -> list[str]:
    return [sys.executable, "-m", "galaxy_triton", *arguments]


def _environment() -> dict[str, str]:
    # The bits of a sum depend on how many threads share it.
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _described(path: Path) -> str:
    if path.is_dir():
        return f"{path.name} ({sum(map(Path.is_file, path.rglob('*')))} files)"
    return f"{path.name} ({path.stat().st_size} bytes)"


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise Bad(message)


def _require_no_survivor(session: int) -> None:
    until = time.perf_counter() + PATIENCE
    while (living := living_in(session)) and time.perf_counter() < until:
        time.sleep(POLL)
    for number in living:
        os.kill(number, SIGKILL)
    _require(not living, f"processes that outlive the killed one: {living}")


def living_in(session: int) -> list[int]:
    """The processes of a session, without those that are dead and wait for their parent to look."""
    living = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Its name, in brackets, may hold anything.
            state, _, _, its_session = file.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state not in "ZX":
            living.append(int(file.parent.name))
    return living


def _require_end(arguments: Arguments, code: int, folder: Path) -> None:
    done = subprocess.run(
        _command_line(arguments), cwd=folder, env=_environment(), capture_output=True, text=True, timeout=LIMIT
    )
    good = done.returncode == code and "Traceback" not in done.stderr
    _require(good, f"exit code {done.returncode} when run again: {done.stderr[-500:]}")


def _require_no_leftover(folder: Path) -> None:
    leftovers = [path.name for path in folder.rglob("*") if path.name.endswith((files.PARTIAL, files.REPLACED))]
    _require(not leftovers, f"leftovers after the end: {leftovers}")


def _whole_or_nothing(
    target: str, arguments: Arguments, *, replaces: bool, check: Callable[[Path], None] = lambda target: None
) -> Job:
    """A command that writes one file or folder. Where it is there, a second call replaces it, or is a fault."""

    def check_left(folder: Path, whole: Path) -> None:
        names = {path.name for path in folder.iterdir()}
        _require(names <= {target, target + files.PARTIAL}, f"files of other names: {names}")
        if target in names:
            check(folder / target)
            _require_same(folder / target, whole / target)

    def check_end(folder: Path, whole: Path) -> None:
        check(folder / target)
        _require_same(folder / target, whole / target)

    def again(folder: Path) -> tuple[Arguments, int]:
        return arguments, int((folder / target).exists() and not replaces)

    return Job(arguments, ".", target, check_left, check_end, again)


def _require_same(got: Path, want: Path) -> None:
    """Raise unless two files, or two folders, hold the same bytes."""
    these, those = _contents(got), _contents(want)
    different = sorted(name for name in {*these, *those} if these.get(name) != those.get(name))
    _require(not different, f"{got} is not as an undisturbed command writes it: {different[:3]}")


def _contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in (path, *path.rglob("*")) if file.is_file()}


def _check_run_left(folder: Path, whole: Path) -> None:
    run, want = folder / "run", whole / "run"
    for name in (run_folder.CONFIG, run_folder.SPLIT, run_folder.SOURCE, PLOTS):
        if (run / name).exists():
            _require_same(run / name, want / name)
    if (run / PAGE).exists():
        _require(_page(run) == _page(want), "another report.html")
    _check_progress(run)


def _check_progress(run: Path) -> None:
    """A row of metrics.csv may be ahead of `last`, and `best` may be, but neither may be behind."""
    metrics, saved = run / run_folder.METRICS, {}
    rows = metrics.read_text().count("\n") - 1 if metrics.exists() else 0
    for name in (run_folder.LAST, run_folder.BEST):
        if files.surviving(run / name).exists():
            saved[name] = checkpoint.load(run / name).progress
    last = saved.get(run_folder.LAST, checkpoint.Progress())
    best = saved.get(run_folder.BEST, checkpoint.Progress())
    _require(rows in (last.epoch, last.epoch + 1), f"{rows} rows of metrics.csv when `last` has {last.epoch} epochs")
    _require(best.best_rmse <= last.best_rmse, f"`best` with RMSE {best.best_rmse}, while `last` knows a better one")
    _require((run / run_folder.CONFIG).exists() or not saved, "a checkpoint in a folder that is no run")


def _check_run_end(folder: Path, whole: Path) -> None:
    _check_run_left(folder, whole)
    run, want = folder / "run", whole / "run"
    _require({path.name for path in run.iterdir()} == {path.name for path in want.iterdir()}, "other files in the run")
    for name in (run_folder.LAST, run_folder.BEST):
        _require_same_checkpoint(run / name, want / name)
    got, expected = (read_metrics(each / run_folder.METRICS).drop(columns=MEASURED) for each in (run, want))
    _require(got.equals(expected), f"metrics.csv of {len(got)} rows is not as an undisturbed run writes it")


def _require_same_checkpoint(got: Path, want: Path) -> None:
    for name in (checkpoint.WEIGHTS, checkpoint.AVERAGE):
        _require_same(got / name, want / name)
    one, other = checkpoint.load(got), checkpoint.load(want)
    _require(one.progress == other.progress, f"{got} with {one.progress}, not {other.progress}")
    try:
        torch.testing.assert_close(one.state, other.state, rtol=0, atol=0)
    except AssertionError as error:
        raise Bad(f"{got / checkpoint.STATE}: {error}") from error


def _page(run: Path) -> str:
    """The report without the time that training took."""
    return re.sub(r"\d+ (h|min|s)\b", "", (run / PAGE).read_text())


def kills_of(command: str, job: Job, kills: int, seed: int, folder: Path) -> Iterator[Kill]:
    """Kill a command at so many moments."""
    whole = undisturbed(job, folder / command)
    for number, moment in enumerate(moments(command, kills, seed, whole.span), 1):
        yield kill(command, number, job, moment, whole, folder / f"{command}-{number}")
        shutil.rmtree(folder / f"{command}-{number}")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch, options.out.open("w", newline="") as handle:
        inputs = Inputs(Path(scratch) / "inputs")
        inputs.make()
        table = csv.DictWriter(handle, [field.name for field in fields(Kill)])
        table.writeheader()
        good = [_tabled(command, make(inputs), options, Path(scratch), table) for command, make in COMMANDS.items()]
    sys.exit(0 if all(good) else 1)


def _tabled(command: str, job: Job, options: argparse.Namespace, scratch: Path, table: "csv.DictWriter[str]") -> bool:
    """Kill a command, write the rows and print a line: whether all went well."""
    rows = []
    for row in kills_of(command, job, options.kills, options.seed, scratch):
        table.writerow(asdict(row))
        rows.append(row)
        if row.outcome != "good":
            print(f"{command} {row.number}, {row.moment} s, {row.phase}: {row.outcome}")
    phases = ", ".join(f"{count} {phase}" for phase, count in Counter(row.phase for row in rows).items())
    good = sum(row.outcome == "good" for row in rows)
    print(f"{command:<9} {len(rows)} kills ({phases}): {good} good, {len(rows) - good} bad", flush=True)
    return good == len(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--out", type=Path, required=True, help="the CSV to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
