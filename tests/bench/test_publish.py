"""bench.publish: the frame of a suite, the results that are kept, and their tables."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.publish import kernel_tables as tables
from bench.publish.suites import BENCH, ROOT, condense, file_name, keep, read, run

SUITE = """
import time
import pytest

@pytest.fixture
def store(row):
    if row == "early":
        pytest.skip("has no store")

@pytest.mark.parametrize(("what", "row", "batch"), [("nap", row, 4) for row in ("good", "early", "absent", "broken")])
def test_naps(what, row, batch, store, timed, small):
    if row == "absent":
        pytest.skip("needs a peer that is not here")
    timed(lambda: {"good": lambda: time.sleep(0.01)}[row], differs="all", small=small)
"""
MADE_WITH = {"gpu": None, "cpu": "a CPU", "threads": 2, "packages": {"torch": "9"}, "commit": "a" * 40, "changed": []}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark refuses to time beside xdist
    shutil.copy(BENCH / "conftest.py", tmp_path)
    (tmp_path / "test_naps.py").write_text(SUITE)
    return tmp_path / "test_naps.py"


@pytest.mark.daily
def test_each_row_of_a_suite_is_kept_as_it_ended(suite: Path) -> None:
    rows = suite.with_suffix(".jsonl")
    result = condense({rows: run(str(suite), rows, small=True)})
    assert result["made_with"]["packages"]["torch"]
    (good,) = result["rows"]
    low, median, high = good["wall_us"]
    assert 1e4 <= low <= median <= high < 1e7
    assert good["images_per_s"] == pytest.approx(4 / median * 1e6)
    assert (good["what"], good["row"], good["batch"], good["differs"], good["small"]) == ("nap", "good", 4, "all", True)
    early, absent, broken = result["left_out"]
    assert early["reason"] == "has no store"
    assert absent == {
        "what": "nap",
        "row": "absent",
        "batch": 4,
        "reason": "needs a peer that is not here",
        "failed": False,
    }
    assert (broken["failed"], broken["reason"]) == (True, "failed: KeyError: 'broken'")


def test_a_row_that_is_not_reached_is_named(suite: Path) -> None:
    rows = suite.with_suffix(".jsonl")
    ended = run(str(suite), rows, limit=1e-3)  # long before Python has started
    with pytest.raises(ValueError, match="stopped after"):
        condense({rows: ended})
    planned = [{"what": "nap", "row": row, "batch": 4} for row in ("first", "second")]
    rows.write_text(
        json.dumps({"made_with": MADE_WITH, "planned": planned}) + "\n" + json.dumps(_line(planned[0])) + "\n"
    )
    result = condense({rows: "stopped after 9 s"})
    assert [row["row"] for row in result["rows"]] == ["first"]
    assert [(entry["row"], entry["reason"]) for entry in result["left_out"]] == [
        ("second", "not reached: stopped after 9 s")
    ]


def test_results_of_both_commands_are_read(tmp_path: Path) -> None:
    """Those of bench.publish and of bench.gpu.on_gpu, but no other file of the folder."""
    keep(_result(), tmp_path)
    gpu = _result(gpu="NVIDIA H200")
    (tmp_path / file_name("NVIDIA H200")).write_text(json.dumps({"stages": {"benchmarks": gpu}, "left_out": []}))
    (tmp_path / "other.json").write_text(json.dumps({"made_with": {}, "commit": ""}))
    assert (tmp_path / "nvidia-h200.json").is_file()
    assert read(tmp_path) == [gpu, _result()]
    own = {**gpu, "command": "python -m bench.publish"}  # has all rows; on_gpu's may have lacked time
    keep(own, tmp_path)
    assert read(tmp_path) == [own, _result()]


@pytest.mark.parametrize("command", ["bench.publish --small", "bench.gpu.on_gpu --device cpu --small"])
def test_figures_of_toys_do_not_replace_results(command: str) -> None:
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "elsewhere" in done.stderr


@pytest.mark.parametrize(("gpu", "place", "ratio"), [(None, 2, "5"), ("NVIDIA H200", 3, "0.2")])
def test_a_table_compares(gpu: str | None, place: int, ratio: str) -> None:
    """On a CPU with the reference, on a GPU with ours; the fastest stands first."""
    text = tables.tables([_result(gpu)])
    assert (tables.NOT_RUN in text) == (gpu is None)
    cells = _cells(text)
    assert cells["peer"][place] == ratio
    assert cells[tables.OURS if gpu else tables.REFERENCE][place] == "1"
    assert list(cells).index("peer") < list(cells).index(tables.OURS if gpu else tables.REFERENCE)


def test_batches_and_losses_have_tables_of_their_own() -> None:
    rows = [_figures(name, [90, 100, 110 + batch], "a GPU", batch=batch) for name in ("x", "y") for batch in (8, 512)]
    rows += [_figures("z", [90, 100, 110], "a GPU")]
    rows += [_figures("Triton", [3, 4, 5], "a GPU", what=what) for what in ("tree loss", "tree loss, in a CUDA graph")]
    left_out = [
        {"what": what, "row": "torch", "batch": 8, "reason": "time", "failed": False} for what in ("tree loss", "new")
    ]
    text = tables.tables([_result(gpu="a GPU") | {"rows": rows, "left_out": left_out}])
    assert "| images/s at a batch of | 8 | 512 |" in text
    assert "| x | 80,000 | 5,120,000 |" in text
    assert "| tree loss, in a CUDA graph: Triton | 4 / 4 |" in text
    assert "Not measured: tree loss: torch; new (time)." in text
    assert text.count("| z |") == 1, "of one batch: in the first table alone"


def _result(gpu: str | None = None) -> dict[str, Any]:
    """A reference (on a GPU: ours) of 10 ms and a peer of 2 ms."""
    ours = "Triton, drawing its own" if gpu else "torch reference"
    rows = [_figures(ours, [9e3, 1e4, 12e3], gpu), _figures("peer", [1.8e3, 2e3, 2.4e3], gpu)]
    left_out = [
        {"what": "augment", "row": "Triton, drawing its own", "batch": 8, "reason": "needs a GPU", "failed": False}
    ]
    return {"command": "c", "made_with": MADE_WITH | {"gpu": gpu}, "rows": rows, "left_out": [] if gpu else left_out}


def _figures(name: str, times: list[float], gpu: str | None, what: str = "augment", batch: int = 8) -> dict[str, Any]:
    scene = {"size": 128, "side": 160, "dtype": "float32", "differs": "order"}
    on_gpu = {"device_us": times, "kernels": 1, "host_ahead": name != "peer"} if gpu else {}
    figures = {"images_per_s": batch / times[1] * 1e6, "wall_us": times, "memory_mib": 1.5, **on_gpu}
    return {"what": what, "row": name, "batch": batch, **scene, **figures}


def _line(name: dict[str, Any]) -> dict[str, Any]:
    return {**name, "outcome": "passed", "reason": "", "wall_us": [1, 2, 3]}


def _cells(text: str) -> dict[str, list[str]]:
    """The rows of the tables by their first cell; every row as wide as its header."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    assert len({len(line) for line in lines}) == 1
    return {first: rest for first, *rest in lines}
