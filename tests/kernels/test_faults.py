"""The faults that are planted in the kernels: all of them caught, and what plants them can tell when one is not."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from galaxy_triton.system.errors import DataFault
from tests.kernels.fault_table import FAULTS, Fault
from tests.kernels.faults import KERNELS, ROOT, TESTS, outcomes_of, require_once

TABLE = ROOT / "bench" / "results" / "faults.csv"


@pytest.mark.slow  # some ten minutes on two cores
def test_every_fault_is_caught(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kernels.faults", "--out", str(tmp_path / "faults.csv")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_faults_are_of_the_kernels_as_they_stand() -> None:
    require_once(FAULTS, ROOT / KERNELS)
    assert all((ROOT / TESTS / fault.tests).exists() for fault in FAULTS)
    assert all(fault.text != fault.replacement for fault in FAULTS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_the_table_has_these_faults_all_of_them_caught() -> None:
    with TABLE.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    listed = [(row["fault"], row["meaning"], row["file"], row["caught"]) for row in rows]
    assert listed == [(fault.name, fault.meaning, fault.file, "yes") for fault in FAULTS]


SUM = Fault("difference", "less for more", "total.py", "test_total.py", "a + b", "a - b")
TEST_OF_SUM = "from galaxy_triton.kernels.total import total\n\ndef test_total():\n    assert total(2, 3) == 5\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As ours is laid out, with one function and its test."""
    texts = {
        # Without these it would be a namespace, which yields to an installed package of the name.
        KERNELS.parent / "__init__.py": "",
        KERNELS / "__init__.py": "",
        KERNELS / "total.py": "def total(a, b):\n    return a + b  # unlike a - 1\n",
        TESTS / "test_total.py": TEST_OF_SUM,
        TESTS / "test_other.py": "def test_other():\n    pass\n",
        TESTS / "test_faults.py": "def test_text():\n    assert False, 'sees that a text is another'\n",
        Path("pyproject.toml"): '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n',
    }
    for path, text in texts.items():
        (tmp_path / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / path).write_text(text)
    return tmp_path / "project"


@pytest.mark.process
def test_planted_faults_are_told_apart(project: Path) -> None:
    """One that another test sees than the one named; one that none sees; one that crashes; one that is no Python."""
    faults = [
        replace(SUM, tests="test_other.py"),
        replace(SUM, name="none", replacement="b + a"),
        replace(SUM, name="crash", replacement="a + c"),
        replace(SUM, name="syntax", replacement="a +"),
    ]
    outcomes = list(outcomes_of(faults, project))
    assert [(one.fault, one.caught, one.test) for one in outcomes] == [
        ("difference", "yes", "test_total.py::test_total"),
        ("none", "no", "every test passed"),
        ("crash", "no", "test_total.py::test_total crashed: NameError: name 'c' is not defined"),
        ("syntax", "no", "tests.kernels.test_total crashed: not run: collection failure"),
    ]
    assert "a + b" in (project / KERNELS / "total.py").read_text()


@pytest.mark.parametrize(("text", "count"), [("a * b", 0), ("a ", 2)])
def test_a_text_that_no_longer_stands_once_is_named(text: str, count: int, project: Path) -> None:
    with pytest.raises(DataFault, match=f"got {count} of 'difference'"):
        require_once([replace(SUM, text=text)], project / KERNELS)


@pytest.mark.process
def test_tests_that_fail_anyway_catch_nothing(project: Path) -> None:
    (project / KERNELS / "total.py").write_text("def total(a, b):\n    return 1 + (a + b)\n")
    with pytest.raises(DataFault, match=r"tests that pass without a fault, got test_total\.py::test_total"):
        list(outcomes_of([SUM], project))
