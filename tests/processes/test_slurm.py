"""The SLURM script of galaxy_triton/README.md, with stand-ins for SLURM; and what torchrun makes of a stop."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.runs import checkpoint
from galaxy_triton.runs import folder as run_folder
from tests.support import processes

PAGE = Path(__file__).resolve().parents[2] / "galaxy_triton" / "README.md"
SCRIPT = next(block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "#SBATCH" in block)
TASKS, EPOCHS = 2, 4
MANY = 400  # epochs of a run that is stopped and never goes on

# As SLURM's: the command once for each task, with what tells them apart; the highest exit code.
SRUN = f"""#!{sys.executable}
import os, pathlib, subprocess, sys
words = sys.argv[1:]
options = [word for word in words if word.startswith("--")][:3]
pathlib.Path("srun.txt").write_text(" ".join(options))
command = words[len(options):]
count = int(os.environ["SLURM_NTASKS"])
places = [{{"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}} for task in range(count)]
tasks = [subprocess.Popen(command, env={{**os.environ, **place}}) for place in places]
pathlib.Path("pids.txt").write_text(" ".join(str(task.pid) for task in tasks))
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = """#!/bin/bash
if [ "$1 $2" = "show hostnames" ]; then printf '127.0.0.1\\n127.0.0.2\\n'; else echo "$@" >> asked.txt; fi
"""
ACTIVATE = 'PATH="$PWD/.venv/bin:$PATH"\n'


class Job:
    """A job in a folder of its own; `run` is where the file puts its run."""

    def __init__(self, folder: Path, application: str) -> None:
        self.folder, self.number = folder, processes.free_port() % 10000 + 4_000_000
        self.run = folder / "runs" / str(self.number)
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "activate").write_text(ACTIVATE)
        (folder / "train.sh").write_text(SCRIPT)
        for place, text in (("srun", SRUN), ("scontrol", SCONTROL), (".venv/bin/galaxy-triton", application)):
            (folder / place).write_text(text)
            (folder / place).chmod(0o755)

    def start(self, *words: object) -> "subprocess.Popen[str]":
        """As SLURM would, the first time or again."""
        told = {"JOB_ID": self.number, "JOB_NODELIST": "node[1-2]", "NTASKS": TASKS, "CPUS_PER_TASK": 1}
        path = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        command = ["bash", "train.sh", *map(str, words)]
        return processes.start(command, self.folder, **path, **{f"SLURM_{name}": value for name, value in told.items()})

    def signal(self, number: int) -> None:
        """To the tasks, as --signal has it; this job's file is not told."""
        for task in (self.folder / "pids.txt").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(task), number)

    @property
    def asked(self) -> str:
        """The requests to scontrol, except those for the names of the hosts."""
        file = self.folder / "asked.txt"
        return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def options(tiny_options: Callable[..., list[str]]) -> list[str]:
    """Of a run that is long enough to be stopped."""
    return [*tiny_options("run.epochs", "run.batch_size"), "--epochs", str(EPOCHS), "--batch-size", "4"]


def test_a_job_is_requeued_until_its_run_is_done(
    sky: Any,
    options: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    read_metrics: Callable[[Path], list[dict[str, str]]],
) -> None:
    """All tasks work, one speaks, and the run is that of a job that nobody stopped."""
    application = f'#!/bin/bash\nexec {sys.executable} -m galaxy_triton "$@"\n'
    job, whole = (Job(tmp_path_factory.mktemp(name), application) for name in ("stopped", "whole"))
    process = job.start(sky.store, *options)
    processes.wait_for(lambda: (job.run / run_folder.METRICS).exists() or process.poll() is not None)
    job.signal(signal.SIGUSR1)
    first = processes.end(process)
    assert (first.code, job.asked) == (75, f"requeue {job.number}\n"), first.said
    assert 1 <= checkpoint.load(job.run / run_folder.LAST).progress.epoch < EPOCHS
    second, undisturbed = processes.end(job.start(sky.store, *options)), processes.end(whole.start(sky.store, *options))
    assert (second.code, job.asked) == (0, f"requeue {job.number}\n"), second.said
    assert (undisturbed.code, whole.asked) == (0, ""), undisturbed.said
    for said in (first.said, second.said, undisturbed.said):
        assert len(re.findall(rf"^processes +{TASKS},", said, re.MULTILINE)) == 1
        assert "Traceback" not in said
    assert len(read_metrics(job.run)) == EPOCHS
    assert read_metrics(job.run) == read_metrics(whole.run)
    weights = [each.run / run_folder.LAST / checkpoint.WEIGHTS for each in (job, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


REQUEUED = [pytest.param(75, True, marks=pytest.mark.daily), (138, True)]


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (130, False), *REQUEUED])
def test_exit_codes_that_are_requeued(code: int, again: bool, tmp_path: Path) -> None:
    """The tasks' highest code is the job's; 138 is that of a task that USR1 ended before it could save."""
    end = "kill -USR1 $$" if code == 138 else f"exit $((RANK * {code}))"
    job = Job(tmp_path, f"#!/bin/bash\n{end}\n")
    assert processes.end(job.start("gz.store")).code == code
    assert job.asked == f"requeue {job.number}\n" * again


def test_arguments_and_environment_of_the_tasks(tmp_path: Path) -> None:
    """Rank, address and arguments: words with blanks too, and --resume once there is a run."""
    told = '"$RANK $WORLD_SIZE $LOCAL_RANK $MASTER_ADDR $MASTER_PORT $OMP_NUM_THREADS" "$@"'
    job = Job(tmp_path, f"#!/bin/bash\nline=$(printf '%s|' {told}); echo $line\n")
    lines = sorted(processes.end(job.start("my store", "--epochs", 3)).said.splitlines())
    port = 20000 + job.number % 10000
    run = f"--run|runs/{job.number}|"
    assert lines == [f"{task} 2 {task} 127.0.0.1 {port} 1|train|my store|--epochs|3|{run}" for task in range(TASKS)]
    job.run.mkdir(parents=True)
    (job.run / run_folder.CONFIG).touch()
    lines = sorted(processes.end(job.start("my store", "--epochs", 3)).said.splitlines())
    assert [line.split("|", 1)[1] for line in lines] == [f"train|--resume|{run}"] * TASKS
    # Where a site ends a step with its first task that ends, the file says otherwise.
    assert (tmp_path / "srun.txt").read_text() == "--cpus-per-task=1 --kill-on-bad-exit=0 --wait=0"


def test_directives_of_the_script() -> None:
    """A task for each GPU, all of which each of them sees; the signal for the tasks; the log of all starts in one."""
    told = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?", SCRIPT, re.MULTILINE))
    assert told["gpus-per-node"] == told["ntasks-per-node"]
    assert told["signal"] == "USR1@120"
    assert told["requeue"] == ""
    assert told["open-mode"] == "append"


def test_torchrun_saves_and_fails(sky: Any, options: list[str], tmp_path: Path) -> None:
    """At a SIGTERM to torchrun; its exit code does not say that the run can go on.

    Without the two dashes it takes our --run for one of its own options, on some releases of Python.
    """
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={TASKS}"]
    command += [f"--master-port={processes.free_port()}", "-m", "--", "galaxy_triton", "train", str(sky.store)]
    process = processes.start([*command, *options, "--epochs", str(MANY), "--run", "run"], tmp_path)
    processes.wait_for(lambda: (tmp_path / "run" / run_folder.METRICS).exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    ended = processes.end(process)
    assert ended.code == 1, ended.said
    assert ended.said.count("and saved. Go on with: galaxy-triton train") == 1
    assert 1 <= checkpoint.load(tmp_path / "run" / run_folder.LAST).progress.epoch < MANY
