"""bench.gpu.on_gpu from end to end without a GPU, so that it is known to run before a GPU is at hand."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu import on_gpu

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "bench.gpu.on_gpu", "--device", "cpu", "--small")


def _run(out: Path, stages: str, *more: str, root: Path = ROOT) -> tuple[subprocess.CompletedProcess[str], dict]:
    command = [*COMMAND, "--out", str(out), "--stages", stages, *more]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # as on a bare machine
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    content = json.loads((out / "cpu.json").read_text())
    assert [f"left out: {text}" in done.stdout for text in content["left_out"]].count(False) == 0
    return done, {**content["stages"], "left out": content["left_out"]}


def test_on_gpu_dry_run(tmp_path: Path) -> None:
    done, stages = _run(tmp_path, "environment,parity,sanitizer", "--commit", "a tree without git")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(stages) == ["environment", "parity", "sanitizer", "left out"]
    assert stages["environment"]["packages"]["torch"]
    assert stages["environment"]["commit"] == "a tree without git"
    assert all(row["ok"] for row in stages["parity"]["rows"])
    asked = ("tuning", "benchmarks", "steps", "kernel_tests", "training")
    assert [f"{name}: not asked for" in stages["left out"] for name in asked] == [True] * 5
    assert any("parity: captured CUDA graphs" in text for text in stages["left out"])


@pytest.mark.slow
def test_on_gpu_benchmarks(tmp_path: Path) -> None:
    """Every row that can run here, at tiny sizes; each that cannot is left out by name."""
    done, stages = _run(tmp_path, "benchmarks")
    assert done.returncode == 0, done.stdout + done.stderr
    found = stages["benchmarks"]
    assert {"torch reference", "torchvision, per image"} <= {row["row"] for row in found["rows"]}
    assert not any(entry["failed"] for entry in found["left_out"])
    assert any("there are no CUDA graphs on a CPU" in text for text in stages["left out"])


def test_on_gpu_keeps_what_a_failed_stage_found_and_goes_on(tmp_path: Path) -> None:
    """In a copy of the tree, without the link galaxy_triton/kernels, whose stages crash and outlast the budget."""
    root = tmp_path / "clone"
    for folder in ("bench", "galaxy_triton", "kernels"):
        ignore = shutil.ignore_patterns("__pycache__", "results", *["kernels"] * (folder == "galaxy_triton"))
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    crash = "found.row(what='first', ok=True)\nraise RuntimeError('the planted crash')\n"
    for stage, code in (("parity", crash), ("environment", "import time\ntime.sleep(200)\n")):
        text = f"from bench.gpu.stages.stage import begin\n_, found = begin()\n{code}"
        (root / f"bench/gpu/stages/{stage}.py").write_text(text)
    done, stages = _run(tmp_path / "out", "parity,environment,sanitizer", "--budget", "16", root=root)
    assert done.returncode == 1
    assert not stages["parity"]["ok"]
    assert stages["parity"]["ended"] == "exit 1"
    assert stages["parity"]["rows"] == [{"what": "first", "ok": True}]
    assert "the planted crash" in stages["parity"]["output"]
    assert stages["environment"]["ended"].startswith("stopped after")
    assert stages["sanitizer"]["ended"] == "not started: the time was used up"
    assert "sanitizer: not started: the time was used up" in stages["left out"]


def test_a_stage_may_take_the_time_that_later_ones_leave() -> None:
    own, later = on_gpu.PLAN["parity"].limit, on_gpu.PLAN["sanitizer"].limit
    assert on_gpu.limit_of("parity", ["sanitizer"], own + later + 60) == own + 60
    assert on_gpu.limit_of("parity", ["sanitizer"], own) == own
    assert on_gpu.limit_of("parity", [], 7.0) == 7
