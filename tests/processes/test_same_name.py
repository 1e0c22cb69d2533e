"""Processes that write the same names at the same moments: each is whole, and none replaces or removes another's."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.whole_files import whole_file, whole_folder
from tests.support import processes

COUNT = 3  # processes
KINDS = ("file", "folder")
LENGTH = 10_000  # bytes that each writes, in two halves


def work(folder: Path, trials: int, rank: int, barrier: Any) -> None:
    """In each trial write a new file, a new folder, and a file and a folder that replace the others'."""
    won = list[list[str]]()
    for trial in range(trials):
        barrier.wait()
        won.append([_write(folder / f"{kind}-{trial}", rank, replace=False) for kind in KINDS])
        assert [_write(folder / kind, rank, replace=True) for kind in KINDS] == ["", ""]
    (folder / f"{rank}.json").write_text(json.dumps(won))


def _write(target: Path, rank: int, replace: bool) -> str:
    """Why it could not be written; "" if it was."""
    is_folder = target.name.startswith("folder")
    try:
        with (whole_folder if is_folder else whole_file)(target, replace=replace) as temporary:
            files = [temporary / "a", temporary / "b"] if is_folder else [temporary]
            for file in files:
                with file.open("w") as handle:
                    handle.write(str(rank) * (LENGTH // 2))
                    handle.flush()
                    handle.write(str(rank) * (LENGTH // 2))
    except DataFault as fault:
        return str(fault)
    return ""


def writer(target: Path) -> int:
    """The rank of the process that wrote the whole of a file or folder."""
    texts = {file.read_text() for file in ((target / "a", target / "b") if target.is_dir() else (target,))}
    (text,) = texts
    assert text == text[0] * LENGTH
    return int(text[0])


@pytest.mark.parametrize(
    "trials",
    [pytest.param(5, marks=pytest.mark.daily), pytest.param(200, marks=pytest.mark.process)],
)
def test_the_same_names(trials: int, tmp_path: Path) -> None:
    """Of new ones the first stands; of those that replace, each is whole; nothing half-written is left."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(COUNT)
    started = [context.Process(target=work, args=(tmp_path, trials, rank, barrier)) for rank in range(COUNT)]
    for process in started:
        process.start()
    for process in started:
        process.join(processes.LIMIT)
    assert [process.exitcode for process in started] == [0] * COUNT
    won = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(COUNT)]
    for trial in range(trials):
        for place, kind in enumerate(KINDS):
            said = [won[rank][trial][place] for rank in range(COUNT)]
            assert said.pop(writer(tmp_path / f"{kind}-{trial}")) == ""
            assert all("Expected a new name, got one" in reason for reason in said), said
    made = {f"{kind}-{trial}" for kind in KINDS for trial in range(trials)}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == made | set(KINDS) | {f"{rank}.json" for rank in range(COUNT)}
    assert {writer(tmp_path / kind) for kind in KINDS} <= set(range(COUNT))


@pytest.mark.process
def test_trainings_that_start_in_the_same_second(sky: Any, tiny_options: Any, tmp_path: Path) -> None:
    """`train STORE &` several times: each is a whole run with a name of its own."""
    command = processes.application("train", sky.store, *tiny_options("run.epochs"), "--epochs", 1)
    ends = [processes.end(process) for process in [processes.start(command, tmp_path) for _ in range(2)]]
    assert [ended.code for ended in ends] == [0, 0], ends
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    for run in runs:
        assert {"config.toml", "last", "report.html"} <= {path.name for path in run.iterdir()}
        assert sum(f"{Path('runs') / run.name / 'report.html'}\n" in ended.said for ended in ends) == 1
