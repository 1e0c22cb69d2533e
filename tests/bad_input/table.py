"""The table of bad input: every case, what runs one, and, as a program, the table with what each ended in.

python tests/bad_input.py > table.md
"""

import contextlib
import hashlib
import io
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.bad_input.bad_data import CHECKS, IMAGES, STORES, TABLES
from tests.bad_input.bad_export import EXPORTS
from tests.bad_input.bad_run import RUNS
from tests.bad_input.bad_sweep import SWEEPS
from tests.bad_input.bad_use import PLACES, USE
from tests.bad_input.spoilt import Case, World

CASES: tuple[Case, ...] = (*USE, *IMAGES, *TABLES, *STORES, *CHECKS, *RUNS, *PLACES, *EXPORTS, *SWEEPS)
HASHED = 2**20  # bytes from the beginning of a file: some are large and empty


def run_case(case: Case, world: World, call: Callable[..., Result]) -> tuple[Result, dict[str, str], dict[str, str]]:
    """What the command did, and all files there before and after it."""
    arguments = case.make(world)
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
    """Run every case and print the table."""
    rows = _Rows()
    test = Path(__file__).with_name("test_bad_input.py")
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(["-q", "-p", "no:cacheprovider", str(test)], plugins=[rows])
    print("| case | exit code | what was said |\n|---|---|---|", *rows.lines, sep="\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
