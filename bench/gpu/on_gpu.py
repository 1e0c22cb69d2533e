"""Check and time this tree on the GPU of a bare machine, from the repository's root, in one command.

    python -m bench.gpu.on_gpu [--out FOLDER] [--stages environment,parity,...]

Each stage runs in its own process under a time limit, so that a crash or a hang costs only that stage. The results
file, FOLDER/<gpu-name>.json, is written again after every stage. A failed stage is listed with the end of its output;
`left_out` lists everything that was not done, with the reason. Nothing is installed: torch and Triton must be there,
for `benchmarks` and `kernel_tests` also pytest (with pytest-benchmark and the peers to compare with), for `steps` and
`training` the package's dependencies. Afterwards `python -m bench.publish --tables` writes the tables of the pages.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.publish.suites import CPU, file_name

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
TAIL = 6000  # characters kept of a stage's output


@dataclass(frozen=True)
class Stage:
    """A module of stages/: its time limit in seconds, and what it proves."""

    limit: int
    what: str


# The most valuable first: time that a stage leaves goes to the next.
PLAN = {
    "environment": Stage(60, "GPU, driver, versions, commit"),
    "parity": Stage(
        150,
        "Triton against torch at full size: dtypes, borders, layouts, CUDA graphs; losses, block ends against float64",
    ),
    "sanitizer": Stage(90, "compute-sanitizer's memcheck and racecheck on one small launch of each kernel"),
    "tuning": Stage(100, "which launch settings are fastest, for kernels/launch_settings.py"),
    "benchmarks": Stage(270, "every row of the suites: device and wall time, launches, memory"),
    "steps": Stage(300, "whole training steps in turns; a galaxy's cost in small and large epochs; the ablation"),
    "kernel_tests": Stage(240, "tests/kernels on the GPU"),
    "training": Stage(180, "a short training by every implementation of its parts"),
}


def main() -> int:
    arguments = _arguments()
    deadline = time.monotonic() + arguments.budget
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        target = _target(arguments, environment)
        results = {"command": sys.argv[1:], "stages": {}}
        for place, name in enumerate(arguments.stages):
            limit = limit_of(name, arguments.stages[place + 1 :], deadline - time.monotonic())
            results["stages"][name] = _run(name, limit, arguments, Path(folder), environment)
            _write(target, results)
            print(_line(name, results["stages"][name]), flush=True)
    results["left_out"] = left_out(results["stages"])
    _write(target, results)
    print(*(f"left out: {text}" for text in results["left_out"]), sep="\n")
    print(f"results in {target}")
    return 0 if all(stage["ok"] for stage in results["stages"].values()) else 1


def left_out(stages: dict[str, dict]) -> list[str]:
    """Everything not done, with its reason: stages not requested, failed stages, and parts that a stage left out."""
    not_asked = [f"{name}: not asked for" for name in PLAN if name not in stages]
    failed = [f"{name}: {stage['ended']}" for name, stage in stages.items() if not stage["ok"]]
    within = [
        f"{name}: " + ", ".join(str(value) for key, value in entry.items() if key != "failed")
        for name, stage in stages.items()
        for entry in stage.get("left_out", [])
    ]
    return not_asked + failed + within


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the file")
    parser.add_argument("--stages", type=_stages, default=list(PLAN), help=f"of {','.join(PLAN)}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a dry run, interpreted")
    parser.add_argument("--small", action="store_true", help="small sizes, for the dry run")
    parser.add_argument("--commit", help="of this tree, where it is no clone")
    parser.add_argument("--budget", type=float, default=570, help="seconds for all stages together")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.out == RESULTS:
        parser.error("--device cpu measures nothing: give --out elsewhere")
    return arguments


def _stages(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PLAN]
    if unknown:
        raise argparse.ArgumentTypeError(f"no stage {', '.join(unknown)}: choose from {', '.join(PLAN)}")
    return names


def _environment(folder: Path) -> dict[str, str]:
    """Environment variables by which stages import this tree's package, whatever is installed.

    The link galaxy_triton/kernels may be lost when the tree is copied to a machine. So the package is copied into the
    layout in which it is installed, and that copy comes before the root on the path.
    """
    site = folder / "site"
    ignore = shutil.ignore_patterns("__pycache__", "kernels")
    shutil.copytree(ROOT / "galaxy_triton", site / "galaxy_triton", ignore=ignore)
    shutil.copytree(ROOT / "kernels", site / "galaxy_triton" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    paths = [str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def _target(arguments: argparse.Namespace, environment: dict[str, str]) -> Path:
    """FOLDER/<gpu-name>.json."""
    name = CPU
    if arguments.device == "cuda":
        command = [sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())"]
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        name = asked.stdout.strip() or "no-gpu"
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments.out.resolve() / file_name(name)


def limit_of(name: str, later: list[str], left: float) -> float:
    """A stage's seconds: its own limit, plus what later stages do not need, at most the time left."""
    spare = left - sum(PLAN[other].limit for other in later)
    return min(left, max(PLAN[name].limit, spare))


def _run(name: str, limit: float, arguments: argparse.Namespace, folder: Path, environment: dict[str, str]) -> dict:
    """Run a stage; returns its findings, seconds and how it ended."""
    if limit < 5:
        return {"ok": False, "seconds": 0.0, "ended": "not started: the time was used up"}
    found, log, work = folder / f"{name}.json", folder / f"{name}.log", folder / name
    work.mkdir()
    command = [sys.executable, "-m", f"bench.gpu.stages.{name}", "--device", arguments.device, "--found", str(found)]
    command += ["--root", str(ROOT), "--limit", str(limit)] + ["--small"] * arguments.small
    command += ["--commit", arguments.commit] if arguments.commit else []
    started = time.monotonic()
    ended = _finish(command, limit, log, {**environment, **_interpreted(arguments.device)}, work)
    result = {
        "what": PLAN[name].what,
        "ok": ended == "exit 0",
        "seconds": round(time.monotonic() - started, 1),
        "ended": ended,
    }
    if not result["ok"]:
        result["output"] = log.read_text(errors="replace")[-TAIL:]
    return result | (json.loads(found.read_text()) if found.is_file() else {})


def _interpreted(device: str) -> dict[str, str]:
    return {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}


def _finish(command: list[str], limit: float, log: Path, environment: dict[str, str], work: Path) -> str:
    """Run a command; at the limit kill it and the processes it started. Returns how it ended."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=work, start_new_session=True
        )
        try:
            return f"exit {process.wait(limit)}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {limit:.0f} s"


def _write(target: Path, results: dict) -> None:
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(target)


def _line(name: str, result: dict) -> str:
    verdict = "ok" if result["ok"] else f"FAILED ({result['ended']})"
    return "\n".join([f"{name:<13} {result['seconds']:6.1f} s  {verdict}", *map(_row_text, result.get("rows", []))])


def _row_text(row: dict) -> str:
    return "  " + "  ".join(f"{key}={_short(value)}" for key, value in row.items() if not isinstance(value, list))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
