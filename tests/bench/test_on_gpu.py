"""bench/on_gpu.py from end to end without a GPU: what a lent machine will be asked to run is known to run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu import on_gpu

ON_GPU = Path(__file__).resolve().parents[2] / "bench" / "on_gpu.py"


def _run(out: Path, stages: str, *more: str, script: Path = ON_GPU) -> tuple[subprocess.CompletedProcess[str], dict]:
    command = [sys.executable, str(script), "--out", str(out), "--device", "cpu", "--small", "--stages", stages, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    content = json.loads((out / "cpu.json").read_text())
    assert [f"left out: {text}" in done.stdout for text in content["left_out"]].count(False) == 0
    return done, {**content["stages"], "left out": content["left_out"]}


def test_on_gpu_dry_run(tmp_path: Path) -> None:
    """Away from the root, as from anywhere: it makes the package importable by itself."""
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


def test_on_gpu_goes_on_after_a_stage_that_fails(tmp_path: Path) -> None:
    """In a copy whose parity stage crashes after one row: the row, the cause and the next stage are kept."""
    crash = "found.row(what='first', ok=True)\nraise RuntimeError('the planted crash')\n"
    script = _with_parity(tmp_path / "clone", crash)
    done, stages = _run(tmp_path / "out", "parity,environment", script=script)
    assert done.returncode == 1
    assert not stages["parity"]["ok"]
    assert stages["parity"]["ended"] == "exit 1"
    assert stages["parity"]["rows"] == [{"what": "first", "ok": True}]
    assert "the planted crash" in stages["parity"]["output"]
    assert stages["environment"]["ok"]
    assert "parity: exit 1" in stages["left out"]


def test_on_gpu_stops_a_stage_at_its_limit(tmp_path: Path) -> None:
    """In a copy whose parity stage outlasts the budget; what follows has no time left, and that is said."""
    script = _with_parity(tmp_path / "clone", "import time\ntime.sleep(200)\n")
    done, stages = _run(tmp_path / "out", "parity,environment", "--budget", "12", script=script)
    assert done.returncode == 1
    assert stages["parity"]["ended"].startswith("stopped after")
    assert stages["environment"]["ended"] == "not started: the time was used up"
    assert "environment: not started: the time was used up" in stages["left out"]


def test_a_stage_may_take_the_time_that_later_ones_leave() -> None:
    own, later = on_gpu.PLAN["parity"].limit, on_gpu.PLAN["sanitizer"].limit
    assert on_gpu._limit("parity", ["sanitizer"], own + later + 60) == own + 60
    assert on_gpu._limit("parity", ["sanitizer"], own) == own
    assert on_gpu._limit("parity", [], 7.0) == 7


def _with_parity(root: Path, code: str) -> Path:
    """on_gpu.py of a copy of the tree whose parity stage does this instead."""
    for folder in ("bench", "galaxy_triton", "kernels"):
        _copy(ON_GPU.parents[1] / folder, root / folder)
    (root / "bench/stages/parity.py").write_text(f"from stage import begin\n_, found = begin()\n{code}")
    return root / "bench/on_gpu.py"


def _copy(source: Path, target: Path) -> None:
    for file in source.rglob("*.py"):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
