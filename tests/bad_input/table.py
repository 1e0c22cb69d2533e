"""The table of bad input: every case, a function that runs one, and a program that writes how each ended.

python -m tests.bad_input.table writes bench/results/bad-input.md.
"""

import hashlib
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.bad_input.data import CHECKS, IMAGES, STORES, TABLES
from tests.bad_input.runs import EXPORTS, RUNS, SWEEPS
from tests.bad_input.use import COMMANDS, NAMES, PLACES, TRAININGS
from tests.bad_input.world import Case, World

CASES = (*COMMANDS, *TRAININGS, *IMAGES, *TABLES, *STORES, *CHECKS, *RUNS, *PLACES, *NAMES, *EXPORTS, *SWEEPS)
TABLE = Path(__file__).resolve().parents[2] / "bench" / "results" / "bad-input.md"
HASHED = 2**20  # bytes from the beginning of a file: some are large and empty


def run_case(case: Case, world: World, call: Callable[..., Result]) -> tuple[Result, dict[str, str], dict[str, str]]:
    """What the command did, and all files there before and after it."""
    arguments = case.arguments(world)
    before = contents(world)
    result = call(*arguments)
    return result, before, contents(world)


def contents(world: World) -> dict[str, str]:
    """Every path that a command could touch -> what is there."""
    roots = (world.images, world.archive, world.labels, world.store, world.run, world.new)
    return {str(path): _content(path) for root in roots for path in (root, *root.rglob("*"))}


def said(result: Result) -> str:
    """The output as one line."""
    return " ".join(result.output.split())


def _content(path: Path) -> str:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return stat.filemode(status.st_mode)
    with path.open("rb") as handle:
        return f"{status.st_size} {hashlib.sha256(handle.read(HASHED)).hexdigest()}"


class _Rows:
    """Collects a row for each case that the test has run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        cells = dict(report.user_properties)
        if report.when == "call" and "said" in cells:
            text = cells["said"].replace("|", "\\|")
            verdict = "" if report.passed else " **not as it should be**"
            self.lines.append(f"| {cells['case']} | {cells['code']}{verdict} | {text} |")


def main() -> int:
    """Run every case and write the table, if pytest could run them."""
    rows = _Rows()
    test = Path(__file__).with_name("test_bad_input.py")
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", str(test)], plugins=[rows]))
    if rows.lines:
        header = "| case | exit code | what was said |\n|---|---|---|"
        TABLE.write_text("\n".join([header, *rows.lines, ""]))
    return code


if __name__ == "__main__":
    sys.exit(main())
