"""Plants faults in copies of the kernels, one at a time, and looks whether the daily tests catch each.

    python -m tests.kernels.faults --out bench/results/faults.csv

Prints a line and writes a row for each fault. Exit code 1 if one was not caught, if a text to replace no longer stands
once in its file, or if the tests fail without any fault.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from xml.etree import ElementTree

from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import whole_file
from tests.kernels.fault_table import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
PASSED = "every test passed"
COPIED = ("galaxy_triton", "tests")  # and pyproject.toml: what the tests of the kernels need
KERNELS, TESTS = Path("galaxy_triton/kernels"), Path("tests/kernels")
# These see that a text or the machine code is another, whether it is wrong or not.
BLIND = {"test_faults.py", "test_compile_ahead.py", "test_machine_code.py"}
ASSERTED = ("assert ", "AssertionError", "Failed: DID NOT RAISE")
AT_ONCE = 2
LIMIT = 1800.0  # seconds for the tests of one fault


@dataclass(frozen=True)
class Outcome:
    """A row of the table. caught: "yes" or "no". test: the first that failed, or what happened instead."""

    fault: str
    meaning: str
    file: str
    caught: str
    test: str
    seconds: float


def main() -> None:
    """The script."""
    options = _options()
    faults = [fault for fault in FAULTS if options.only in (None, fault.name)]
    try:
        outcomes = list(outcomes_of(faults, ROOT))
        if options.out:
            write_table(outcomes, options.out)
    except DataFault as fault:
        sys.exit(f"Error: {fault}")
    caught = sum(outcome.caught == "yes" for outcome in outcomes)
    print(f"{len(outcomes)} faults: {caught} caught, {len(outcomes) - caught} not")
    sys.exit(0 if caught == len(outcomes) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", metavar="NAME", choices=names, help="one fault, by its name")
    parser.add_argument("--out", type=Path, help="the CSV to write")
    return parser.parse_args()


def outcomes_of(faults: Sequence[Fault], root: Path) -> Iterator[Outcome]:
    """Plant each fault in a copy of its own of the project at `root`, which stays as it is; in the order given.

    Raises:
        DataFault: a text does not stand once in its file, or the tests fail without a fault.
    """
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        sound = Path(scratch) / "sound"
        _copy(root, sound)
        require_once(faults, sound / KERNELS)
        _require_pass(faults, sound)
        folders = [Path(scratch) / str(number) for number in range(len(faults))]
        for outcome in pool.map(plant, faults, [sound] * len(faults), folders):
            print(f"{outcome.caught:<3} {outcome.seconds:5.1f} s  {outcome.fault}: {outcome.test}", flush=True)
            yield outcome


def write_table(outcomes: Sequence[Outcome], out: Path) -> None:
    """Write a CSV of them, whole or not at all; DataFault if that is not possible."""
    with whole_file(out, replace=True) as temporary, temporary.open("w", newline="") as handle:
        table = csv.DictWriter(handle, [field.name for field in fields(Outcome)])
        table.writeheader()
        table.writerows(map(asdict, outcomes))


def require_once(faults: Sequence[Fault], kernels: Path) -> None:
    """Raise DataFault, naming all such faults, unless each text stands once in its file."""
    counts = {fault.name: (kernels / fault.file).read_text().count(fault.text) for fault in faults}
    wrong = ", ".join(f"{count} of {name!r}" for name, count in counts.items() if count != 1)
    if wrong:
        do = "write the text in fault_table.py as it stands in the kernel now"
        raise DataFault(expected("each fault's text once in its file", wrong, kernels, do))


def plant(fault: Fault, sound: Path, folder: Path) -> Outcome:
    """Plant a fault in a copy of `sound` and run the tests until one fails."""
    _copy(sound, folder)
    file = folder / KERNELS / fault.file
    file.write_text(file.read_text().replace(fault.text, fault.replacement))
    began = time.perf_counter()
    caught, test = _tested(folder, _all_tests(folder, fault.tests))
    seconds = round(time.perf_counter() - began, 1)
    return Outcome(fault.name, fault.meaning, fault.file, "yes" if caught else "no", test, seconds)


def verdict(code: int, report: Path) -> tuple[bool, str]:
    """Whether a test saw a fault by an assertion, and the first test that failed, or what happened instead.

    code, report: pytest's exit code and its JUnit file. A crash does not count: any change that is no program crashes.
    """
    if code == 0:
        return False, PASSED
    if code != 1:
        return False, f"pytest ended with {code}"
    test, message = _first_failure(ElementTree.parse(report).getroot())
    if message.startswith(ASSERTED):
        return True, test
    return False, f"{test} crashed: {message.splitlines()[0]}"


def _first_failure(report: ElementTree.Element) -> tuple[str, str]:
    """The name of a test, and what its failure says, or what went wrong before or after it."""
    for case in report.iter("testcase"):
        failure, error = case.find("failure"), case.find("error")
        module, name = case.get("classname", "").rpartition(".")[2], case.get("name", "")
        if failure is not None:
            return f"{module}.py::{name}", failure.get("message", "")
        if error is not None:
            return name, f"not run: {error.get('message')}"
    raise ValueError("a report without a failure")


def _copy(root: Path, folder: Path) -> None:
    for name in COPIED:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", folder)


def _require_pass(faults: Sequence[Fault], folder: Path) -> None:
    _, test = _tested(folder, sorted({TESTS / fault.tests for fault in faults}))
    if test != PASSED:
        raise DataFault(expected("tests that pass without a fault", test, TESTS, "mend them first"))


def _all_tests(folder: Path, first: str) -> list[Path]:
    """The files of the daily tests, this one before the others."""
    others = {path.name for path in (folder / TESTS).glob("test_*.py")} - {first, *BLIND}
    return [TESTS / name for name in (first, *sorted(others))]


def _tested(folder: Path, tests: Sequence[Path]) -> tuple[bool, str]:
    """Run tests in a folder until one fails: the verdict."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += map(str, tests)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False, f"not ended after {LIMIT:.0f} s"
    return verdict(done.returncode, report)


if __name__ == "__main__":
    main()
