"""Run the benchmark suites in processes of their own and gather their rows. Imports neither torch nor a kernel."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.kernels.floors import SIDE, SIZE, Rates, share
from bench.scripts import write_result

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
SUITES = ("kernels/test_augment_speed.py", "kernels/test_loss_speed.py")
# Not pyproject's `pythonpath` and `addopts`: on a bare machine the package lies elsewhere (see bench.gpu.on_gpu), and
# pytest-xdist may be missing.
PYTEST_SETTINGS = ("-c", str(ROOT / "pyproject.toml"), "-o", "pythonpath=", "-o", "addopts=--import-mode=importlib")
CPU = "cpu"
OWN = "kernels-"  # prefix of the results files of `python -m bench.publish`
OURS = ("Triton, drawing its own", "Triton, parameters given")  # the rows with known floors

# made_with: machine, versions, commit. rows: one for each measurement. left_out: what, row, batch, reason, failed.
Result = dict[str, Any]


def run(suite: str, rows: Path, limit: float | None = None, small: bool = False) -> str:
    """Run a suite in a process of its own, and return how it ended.

    Args:
        suite: one of SUITES.
        rows: JSON lines file to write, a line for each row.
        limit: seconds after which the suite is killed; after 0.9 of them no further row starts.
        small: use tiny sizes.
    """
    command = [sys.executable, "-m", "pytest", str(BENCH / suite), "--benchmark-only", "-q", "-p", "no:cacheprovider"]
    command += [*PYTEST_SETTINGS, f"--rootdir={ROOT}"]
    command += ["--rows", str(rows)] + ["--small"] * small
    command += [] if limit is None else ["--budget", str(0.9 * limit)]
    try:
        return f"exit {subprocess.run(command, cwd=ROOT, timeout=limit, check=False).returncode}"
    except subprocess.TimeoutExpired:
        return f"stopped after {limit:.0f} s"


def condense(ends: dict[Path, str]) -> Result:
    """Gather the rows of all suites. ends: rows file -> how its suite ended.

    Raises:
        ValueError: a suite ended before it listed its rows.
    """
    made_with: object = None
    rows, left_out = [], []
    for file, ended in ends.items():
        head, *lines = _lines(file, ended)
        made_with = head["made_with"]
        measured = [_row(line) for line in lines if line["outcome"] == "passed"]
        rows += [row | _floor(row, head["made_with"].get("rates")) for row in measured]
        left_out += [_left_out(line) for line in lines if line["outcome"] != "passed"]
        reached = [_name(line) for line in lines]
        missing = [name for name in head["planned"] if name not in reached]
        left_out += [{**name, "reason": f"not reached: {ended}", "failed": False} for name in missing]
    return {"made_with": made_with, "rows": rows, "left_out": left_out}


def keep(result: Result, folder: Path) -> list[dict]:
    """Write a result to the folder's file for its machine; returns what the result leaves out."""
    write_result(folder / (OWN + file_name(result["made_with"]["gpu"] or CPU)), result)
    return result["left_out"]


def read(folder: Path) -> list[Result]:
    """The newest result of each machine, GPUs first: of `bench.publish`, or if there is none of `bench.gpu.on_gpu`."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.name.startswith(OWN))
    contents = [json.loads(file.read_text()) for file in files]
    found = [content.get("stages", {}).get("benchmarks", content) for content in contents]
    results = [result for result in found if result.keys() >= {"made_with", "rows", "left_out"}]
    by_machine = {result["made_with"]["gpu"] or CPU: result for result in results if isinstance(result["rows"], list)}
    return sorted(by_machine.values(), key=lambda result: not result["made_with"]["gpu"])


def file_name(device: str) -> str:
    """A device's name in lower case with hyphens, and .json: nvidia-h200.json."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", device).strip("-").lower() + ".json"


def _lines(file: Path, ended: str) -> list[dict]:
    if not file.is_file():
        raise ValueError(f"no row was measured: pytest's {ended}")
    return [json.loads(line) for line in file.read_text().splitlines()]


def _row(line: dict) -> dict:
    """Add images_per_s: from device time on a GPU (calls in a row), from wall time on a CPU (single calls)."""
    median_us = line.get("device_us", line["wall_us"])[1]
    figures = {name: value for name, value in line.items() if name not in ("outcome", "reason")}
    return {**figures, "images_per_s": line.get("images", line["batch"]) / median_us * 1e6}


def _floor(row: dict, rates: dict | None) -> dict:
    """The share of a row's device time that its tightest floor explains; empty if no floor is known for the row."""
    counted = row["row"] in OURS and (row.get("side"), row.get("size"), row.get("dtype")) == (SIDE, SIZE, "bfloat16")
    if rates is None or not counted:
        return {}
    part, tightest = share(row["device_us"][1], row["batch"], Rates(**rates))
    return {"of_floor": part, "tightest_floor": tightest}


def _left_out(line: dict) -> dict:
    failed = line["outcome"] == "failed"
    return {**_name(line), "reason": "failed: " * failed + line["reason"], "failed": failed}


def _name(line: dict) -> dict:
    return {name: line[name] for name in ("what", "row", "batch")}
