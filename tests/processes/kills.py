"""Kills simulate, pack, train and predict with SIGKILL at random moments, looks at what is left, and lets them finish.

    python -m tests.processes.kills --kills 20 --seed 1 --out bench/results/kills.csv

Writes a row for each kill and prints a line for each command. Exit code 1 if something half-written passed for whole,
a process outlived the killed one, or the command, run again, did not end with what an undisturbed one writes.
"""

import argparse
import csv
import os
import random
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

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.whole_files import PARTIAL, REPLACED
from tests.processes.kill_jobs import COMMANDS, Bad, Inputs, Job, require, require_end
from tests.support.processes import LIMIT, application, one_thread

BEYOND = 1.05  # the last moments may come after the last file, when the process is on its way out
POLL, PATIENCE = 0.002, 1.0  # seconds between two looks, and for others to end


@dataclass(frozen=True)
class Whole:
    """The folder of an undisturbed command, and the seconds from its first file to its last."""

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


def main() -> None:
    """The script."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch, options.out.open("w", newline="", buffering=1) as handle:
        inputs = Inputs(Path(scratch) / "inputs")
        inputs.make()
        table = csv.DictWriter(handle, [field.name for field in fields(Kill)])
        table.writeheader()
        good = [_rows_of(command, make(inputs), options, Path(scratch), table) for command, make in COMMANDS.items()]
    sys.exit(0 if all(good) else 1)


def _rows_of(command: str, job: Job, options: argparse.Namespace, scratch: Path, table: "csv.DictWriter[str]") -> bool:
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
    parser.add_argument("--out", type=Path, default=Path("kills.csv"), help="the CSV to write")
    return parser.parse_args()


def kills_of(command: str, job: Job, kills: int, seed: int, folder: Path) -> Iterator[Kill]:
    """Kill a command at so many moments."""
    whole = undisturbed(job, folder / command)
    for number, moment in enumerate(moments(command, kills, seed, whole.span), 1):
        yield kill(command, number, job, moment, whole, folder / f"{command}-{number}")
        shutil.rmtree(folder / f"{command}-{number}")


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
    session, phase = _kill_leader(job, moment, folder)
    found = ", ".join(sorted(map(_describe, (folder / job.where).iterdir())))
    try:
        _require_no_survivor(session)
        job.check_left(folder, whole.folder)
        require_end(*job.again(folder), folder)
        _require_no_leftover(folder)
        job.check_end(folder, whole.folder)
        outcome = "good"
    except (Bad, DataFault, subprocess.TimeoutExpired) as fault:
        outcome = str(fault)
    return Kill(command, number, round(moment, 3), phase, found, outcome)


def _kill_leader(job: Job, moment: float, folder: Path) -> tuple[int, str]:
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
        command = application(*job.arguments)
        return subprocess.Popen(command, cwd=folder, env=one_thread(), stdout=log, stderr=log, start_new_session=True)


def _wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> float:
    """The time at which it holds."""
    while not holds():
        if process.poll() is not None and not holds():
            raise RuntimeError(f"Expected it to write more before its end: {_log(folder).read_text()}")
        time.sleep(POLL)
    return time.perf_counter()


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")


def _describe(path: Path) -> str:
    if path.is_dir():
        return f"{path.name} ({sum(map(Path.is_file, path.rglob('*')))} files)"
    return f"{path.name} ({path.stat().st_size} bytes)"


def _require_no_survivor(session: int) -> None:
    until = time.perf_counter() + PATIENCE
    while (living := living_in(session)) and time.perf_counter() < until:
        time.sleep(POLL)
    for number in living:
        os.kill(number, SIGKILL)
    require(not living, f"processes that outlive the killed one: {living}")


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


def _require_no_leftover(folder: Path) -> None:
    leftovers = [path.name for path in folder.rglob("*") if path.name.endswith((PARTIAL, REPLACED))]
    require(not leftovers, f"leftovers after the end: {leftovers}")


if __name__ == "__main__":
    main()
