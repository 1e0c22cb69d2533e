"""CSV tables: what is read, every fault with its place, what is written."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.check import CheckOptions, check
from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers, read_ids, read_names
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.system.errors import DataFault

HEADER = ["GalaxyID", *COLUMNS]
WIDE = [*HEADER, *READABLE, *SPREADS]


def fractions(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).random((rows, 37), dtype=np.float32)


def text(header: list[str], rows: list[list[object]]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows])


def plain(ids: list[object], answers: NDArray[np.float32]) -> str:
    return text(HEADER, [[number, *row] for number, row in zip(ids, answers.tolist(), strict=True)])


def shuffled(content: str) -> str:
    order = np.random.default_rng(0).permutation(38)
    return "".join(",".join(line.split(",")[place] for place in order) + "\n" for line in content.splitlines())


def widened(content: str) -> str:
    """As `predict --layout wide` writes, with empty cells."""
    lines = content.splitlines()[1:]
    return "\n".join([",".join(WIDE), *(f"{line},{',0.5' * 73}" for line in lines)])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def run(content: str) -> Path:
        (tmp_path / "table.csv").write_text(content, newline="")
        return tmp_path / "table.csv"

    return run


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content, id="as Kaggle's"),
        pytest.param(lambda content: "\ufeff" + content, id="byte order mark"),
        pytest.param(lambda content: content.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param(lambda content: content.replace("\n", "\n\n"), id="empty lines"),
        pytest.param(lambda content: content.replace(",", " , "), id="spaces"),
        pytest.param(shuffled, id="other order"),
        pytest.param(widened, id="wide"),
    ],
)
def test_read_answers(write: Callable[[str], Path], change: Callable[[str], str]) -> None:
    want = fractions(3)
    ids, answers = read_answers(write(change(plain([30, "NGC 1300", 10], want))))
    assert (ids.dtype, ids.tolist()) == (np.int64, [30, galaxy_id("NGC 1300"), 10])
    assert (answers.dtype, answers.shape) == (np.float32, (3, 37))
    assert np.array_equal(answers, want)


def test_cells_are_read_as_they_are_written(write: Callable[[str], Path]) -> None:
    """No cell is guessed at: ids keep their zeros, only Python's own numbers are numbers, and rounding is clipped."""
    ids = ["000001", "1e5", "NA", "True", "NULL", "a", "b"]
    cells = ["1e-3", "0_1", " .5 ", "+1", "0.30000001192092896", "1.0000005", "-5e-7"]
    rows: list[list[object]] = [[name, *[cell] * 37] for name, cell in zip(ids, cells, strict=True)]
    ids_read, answers = read_answers(write(text(HEADER, rows)))
    assert ids_read.tolist() == [1, *map(galaxy_id, ids[1:])]
    assert answers[:, 3].tolist() == [np.float32(min(max(float(cell), 0), 1)) for cell in cells]


@pytest.mark.parametrize(
    "names", [["anything.csv", "notes.txt", "__MACOSX/._anything.csv"], ["folder/labels.csv", "other.csv"]]
)
def test_read_answers_in_a_zip(tmp_path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "labels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(names[0], plain([5], fractions(1)))
        for name in names[1:]:
            archive.writestr(name, "no table")
    ids, answers = read_answers(tmp_path / "labels.zip")
    assert ids.tolist() == [5]
    assert np.array_equal(answers, fractions(1))


Cells = dict[tuple[int, int], str]  # (line, place) -> the cell that stands there instead


@pytest.mark.parametrize(
    ("cells", "rule", "place"),
    [
        ({(1, 4): "x"}, "columns: GalaxyID and", "without 'Class2.1'; also 'x'"),
        ({(1, 0): "id"}, "columns: GalaxyID and", "without 'GalaxyID'; also 'id'"),
        ({(1, 37): "Class11.6,bar_yes,bar_yes"}, "columns: GalaxyID and", "also 'bar_yes'"),
        ({(3, 37): "1,0.5"}, "rows: a cell for each", "line 3: 39 for 38"),
        ({(3, 0): ""}, "ids: one in each row", "line 3, GalaxyID : ''"),
        ({(4, 0): "nan"}, "ids: one in each row", "line 4, GalaxyID nan: 'nan'"),
        ({(3, 0): "20.0"}, "ids: one in each row", "line 3, GalaxyID 20.0: '20.0'"),
        ({(3, 0): "9" * 300}, "ids: one in each row", "line 3, GalaxyID 9999"),
        ({(4, 0): "0010"}, "ids: each once", "line 4, GalaxyID 0010: the id of line 2"),
        ({(2, 5): ""}, "values: from 0 to 1", "line 2, GalaxyID 10, Class2.2: ''"),
        ({(2, 5): "nan"}, "values: from 0 to 1", "line 2, GalaxyID 10, Class2.2: 'nan'"),
        ({(4, 37): "1.01"}, "values: from 0 to 1", "line 4, GalaxyID 30, Class11.6: '1.01'"),
        ({(4, 1): "-0.01"}, "values: from 0 to 1", "line 4, GalaxyID 30, Class1.1: '-0.01'"),
        # several: the first in the order of the file is raised; a line break inside quotes counts as a line
        ({(4, 1): "2", (2, 5): "x", (3, 0): ""}, "values: from 0 to 1", "line 2, GalaxyID 10, Class2.2: 'x'"),
        ({(3, 5): "x", (3, 0): "", (4, 9): "1,1"}, "ids: one in each row", "line 3, GalaxyID : ''"),
        ({(4, 1): "2", (3, 37): "3", (3, 2): "x"}, "values: from 0 to 1", "line 3, GalaxyID 20, Class1.2: 'x'"),
        ({(3, 1): "x,1", (4, 0): ""}, "rows: a cell for each", "line 3: 39 for 38"),
        ({(2, 0): '"a\nb"', (3, 1): "x"}, "values: from 0 to 1", "line 4, GalaxyID 20, Class1.1: 'x'"),
    ],
)
def test_every_fault_is_found_and_the_first_raised(
    write: Callable[[str], Path], cells: Cells, rule: str, place: str
) -> None:
    """By one reader: `check` counts the fault among all, `read_answers` raises it, and both name its place."""
    rows = [[*HEADER], *[[str(number), *["0.5"] * 37] for number in (10, 20, 30)]]
    for (line, column), cell in cells.items():
        rows[line - 1][column] = cell
    path = write(text(rows[0], rows[1:]))
    for kind in ("labels", "predictions", "submission"):
        (finding,) = [found for found in check(path, CheckOptions(kind=kind)).findings if found.rule.startswith(rule)]
        assert finding.mark == "FAULT"
        if not rule.startswith("columns"):
            assert place in finding.examples[0]
    where, _, got = place.partition(": ")
    with pytest.raises(DataFault) as fault:
        read_answers(path)
    assert (got or where) in str(fault.value)
    assert str(path) in str(fault.value)
    assert rule.startswith("columns") or f"{path}, {where}" in str(fault.value)


def test_three_of_many_faults_are_described(write: Callable[[str], Path]) -> None:
    path = write(text(HEADER, [[number, "?", *[0.5] * 36] for number in range(10)]))
    (finding,) = [found for found in check(path, CheckOptions()).findings if found.rule == "values: from 0 to 1"]
    assert (finding.broken, len(finding.examples)) == (10, 3)
    assert [example.split(",")[0] for example in finding.examples] == ["line 2", "line 3", "line 4"]


def test_a_conditional_table_is_named(write: Callable[[str], Path]) -> None:
    with pytest.raises(DataFault, match="predict with --layout wide"):
        read_answers(write(text(["GalaxyID", *READABLE, *SPREADS], [])))


def test_read_ids(write: Callable[[str], Path]) -> None:
    for content in (
        "GalaxyID,part\n30,train\nNGC 1300\n10,x,y\n",
        "name\n30\nNGC 1300\n10\n",
        "x,GalaxyID\n,30\n,NGC 1300\n,10\n",
        ",Galaxy_ID\n0,30\n1,NGC 1300\n2,10\n",
        "ra,dr7objid\n0.5,30\n0.5,NGC 1300\n0.5,10\n",
        "id,GalaxyID\n7,30\n8,NGC 1300\n9,10\n",
        " 30\nNGC 1300\n10\n",
    ):
        ids = read_ids(write(content))
        assert (ids.dtype, ids.tolist()) == (np.int64, [30, galaxy_id("NGC 1300"), 10])
    assert read_names(write("NGC 7\n150.1234\n007\n")) == ["NGC 7", "150.1234", "007"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("GalaxyID\n", "rows below the header, got none"),
        ("GalaxyID\n30\n30\n", "each id once"),
        ("x,GalaxyID\n1,30\n2\n", r"got 1 for 2 \(.*line 3"),
        ("x,GalaxyID\nNGC 7, a spiral,30\n", r"got 3 for 2 \(.*line 2"),
        (",0\n0,30\n1,10\n", r"one column of ids \(GalaxyID\), got ''; '0'"),
        ("30,train\n10,train\n", r"one column of ids \(GalaxyID\), got '30'; 'train'"),
        ("objid,asset_id\n1,30\n2,10\n", "one column of ids"),
        ("GalaxyID,GalaxyID\n1,30\n2,10\n", "one column of ids"),
        ("5.87722981742084e+17\n30\n", r"got '5.87722981742084e\+17'"),
    ],
)
def test_read_ids_refuses(write: Callable[[str], Path], content: str, message: str) -> None:
    with pytest.raises(DataFault, match=message):
        read_ids(write(content))


def test_write_answers(tmp_path: Path) -> None:
    want = fractions(5)
    want[0, :4] = 0, 1, 1e-12, -5e-7
    chunks = [([30, "NGC, 1300"], want[:2]), (np.array([10, 20, 40]), want[2:])]
    assert write_answers(tmp_path / "new" / "answers.csv", chunks) == 5

    want[0, 3] = 0
    with (tmp_path / "new" / "answers.csv").open(newline="") as handle:
        header, *rows = list(csv.reader(handle))
    assert header == HEADER
    assert [row[0] for row in rows] == ["30", "NGC, 1300", "10", "20", "40"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], dtype=np.float64), want, rtol=5e-7)
    assert rows[0][1:5] == ["0", "1", "1e-12", "0"]


def with_value(value: float) -> NDArray[np.float32]:
    answers = fractions(2)
    answers[1, 4] = value
    return answers


@pytest.mark.parametrize(
    ("names", "answers", "message"),
    [
        ([7, 8], with_value(np.nan), r"got nan \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], with_value(1.001), r"got 1.00\d+ \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], with_value(-0.001), r"got -0.001\d+ \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8, 9], fractions(2), r"shape \(3, 37\), got \(2, 37\)"),
        ([7, "007"], fractions(2), "each id once, got 007 again"),
        ([7, 3], fractions(2), "each id once, got 3 again"),
    ],
)
def test_write_answers_refuses(
    tmp_path: Path, names: list[int | str], answers: NDArray[np.float32], message: str
) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("what was there")
    with pytest.raises(DataFault, match=message):
        write_answers(path, [([3, 4], fractions(2)), (names, answers)], replace=True)
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]
    assert path.read_text() == "what was there"


def test_write_answers_refuses_no_answers(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="answers to write, got none"):
        write_answers(tmp_path / "answers.csv", [])
