"""CSV tables: what is read, what is refused and where, what is written."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers, read_ids
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.layouts import CONDITIONAL
from galaxy_triton.system.errors import DataFault

HEADER = ["GalaxyID", *COLUMNS]


def fractions(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).random((rows, 37), dtype=np.float32)


def text(header: list[str], rows: list[list[object]]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows])


def plain(ids: list[object], answers: NDArray[np.float32]) -> str:
    return text(HEADER, [[number, *row] for number, row in zip(ids, answers.tolist(), strict=True)])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def run(content: str) -> Path:
        (tmp_path / "table.csv").write_text(content, newline="")
        return tmp_path / "table.csv"

    return run


def test_read_answers(write: Callable[[str], Path]) -> None:
    want = fractions(3)
    ids, answers = read_answers(write(plain([30, "NGC 1300", 10], want)))
    assert (ids.dtype, ids.tolist()) == (np.int64, [30, galaxy_id("NGC 1300"), 10])
    assert (answers.dtype, answers.shape) == (np.float32, (3, 37))
    assert np.array_equal(answers, want)


def test_read_answers_finds_columns_by_name(write: Callable[[str], Path]) -> None:
    want = fractions(2)
    order = np.random.default_rng(0).permutation(38)
    rows = [[[number, *row.tolist()][place] for place in order] for number, row in zip((5, 6), want, strict=True)]
    ids, answers = read_answers(write(text([HEADER[place] for place in order], rows)))
    assert ids.tolist() == [5, 6]
    assert np.array_equal(answers, want)


def test_read_answers_of_a_wide_table(write: Callable[[str], Path]) -> None:
    """What was predicted with --layout wide is compared like any other table; its empty cells are no fault."""
    want = fractions(2)
    cells = [["", *[0.5] * 73], [0.5] * 74]
    rows = [[number, *row, *more] for number, row, more in zip((5, 6), want.tolist(), cells, strict=True)]
    ids, answers = read_answers(write(text([*HEADER, *CONDITIONAL], rows)))
    assert ids.tolist() == [5, 6]
    assert np.array_equal(answers, want)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: "\ufeff" + content, id="byte order mark"),
        pytest.param(lambda content: content.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param(lambda content: content.replace("\n", "\n\n"), id="empty lines"),
        pytest.param(lambda content: content.replace(",", " , "), id="spaces"),
    ],
)
def test_read_answers_forgives(write: Callable[[str], Path], change: Callable[[str], str]) -> None:
    want = fractions(2)
    ids, answers = read_answers(write(change(plain([5, 6], want))))
    assert ids.tolist() == [5, 6]
    assert np.array_equal(answers, want)


def test_read_answers_clips_rounding(write: Callable[[str], Path]) -> None:
    row = [1, 1.0000005, -5e-7, *[0.5] * 35]
    assert read_answers(write(text(HEADER, [row])))[1][0, :3].tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    "names",
    [
        ["anything.csv", "notes.txt", "__MACOSX/._anything.csv"],
        ["folder/labels.csv", "other.csv"],
    ],
)
def test_read_answers_in_a_zip(tmp_path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "labels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(names[0], plain([5], fractions(1)))
        for name in names[1:]:
            archive.writestr(name, "no table")
    ids, answers = read_answers(tmp_path / "labels.zip")
    assert ids.tolist() == [5]
    assert np.array_equal(answers, fractions(1))


def changed(line: int, column: int, value: object) -> str:
    rows = [[*HEADER], *[[number, *row] for number, row in zip((10, 20, 30), fractions(3).tolist(), strict=True)]]
    rows[line - 1][column] = value
    return text(rows[0], rows[1:])


GOOD = plain([10, 20, 30], fractions(3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(changed(1, 4, "Class9.9"), r"without 'Class2.1' and also 'Class9.9'", id="column renamed"),
        pytest.param(text(["GalaxyID"], [[1]]), "without 'Class1.1', 'Class1.2', 'Class1.3', …", id="ids alone"),
        pytest.param(text([*HEADER, "bar_yes", "bar_yes"], [[1] * 40]), "got also 'bar_yes'", id="wide column twice"),
        pytest.param(text([*HEADER, "bar_yes"], [[1] * 38]), r"39 cells, got 38 \(.*line 2\)", id="short wide row"),
        pytest.param(text(["GalaxyID", *CONDITIONAL], []), "predict with --layout wide", id="conditional"),
        pytest.param(changed(3, 0, "0010"), "each id once, got 10 and 0010", id="id twice, written otherwise"),
        pytest.param(changed(3, 0, "20.0"), r"id, got '20.0' \(.*line 3\)", id="float id"),
        pytest.param(changed(4, 0, "nan"), r"id, got 'nan' \(.*line 4\)", id="nan id"),
        pytest.param(changed(2, 5, ""), r"from 0 to 1, got '' \(.*line 2, Class2.2\)", id="blank"),
        pytest.param(changed(4, 37, "1.01"), r"from 0 to 1, got '1.01' \(.*line 4, Class11.6\)", id="above 1"),
        pytest.param(GOOD[:-1] + ",0.5\n", r"38 cells, got 39 \(.*line 4\)", id="long row"),
    ],
)
def test_read_answers_names_the_place(write: Callable[[str], Path], content: str, message: str) -> None:
    path = write(content)
    with pytest.raises(DataFault, match=message) as fault:
        read_answers(path)
    assert str(path) in str(fault.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({(2, 5): "x", (3, 0): "", (4, 1): "2"}, "line 2, Class2.2"),
        ({(3, 5): "x", (3, 0): ""}, "id, got ''"),
        ({(4, 1): "2", (3, 37): "3", (3, 2): "x"}, "line 3, Class1.2"),
        ({(3, 1): "x,1", (4, 0): ""}, "39 .*line 3"),
        ({(2, 0): "a\nb", (3, 1): "x"}, "line 4, Class1.1"),
    ],
)
def test_read_answers_raises_the_first_fault(
    write: Callable[[str], Path], cells: dict[tuple[int, int], str], message: str
) -> None:
    """In the order of the file; a line break inside quotes counts as a line."""
    rows = [[*HEADER], *[[str(number), *["0.5"] * 37] for number in (10, 20, 30)]]
    for (line, column), cell in cells.items():
        rows[line - 1][column] = f'"{cell}"' if "\n" in cell else cell
    with pytest.raises(DataFault, match=message):
        read_answers(write(text(rows[0], rows[1:])))


def test_cells_are_read_as_they_are_written(write: Callable[[str], Path]) -> None:
    """No cell is guessed at: ids keep their zeros, and only Python's own numbers are numbers."""
    ids = ["000001", "1e5", "NA", "True", "NULL"]
    cells = ["1e-3", "0_1", " .5 ", "+1", "0.30000001192092896"]
    ids_read, answers = read_answers(
        write(text(HEADER, [[name, *[c] * 37] for name, c in zip(ids, cells, strict=True)]))
    )
    assert ids_read.tolist() == [1, *map(galaxy_id, ids[1:])]
    assert answers[:, 3].tolist() == [np.float32(float(cell)) for cell in cells]


def test_read_ids(write: Callable[[str], Path]) -> None:
    for content in (
        "GalaxyID,part\n30,train\nNGC 1300\n10,x,y\n",
        "name\n30\nNGC 1300\n10\n",
        "x,GalaxyID\n,30\n,NGC 1300\n,10\n",
    ):
        ids = read_ids(write(content))
        assert (ids.dtype, ids.tolist()) == (np.int64, [30, galaxy_id("NGC 1300"), 10])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("GalaxyID\n", "rows below the header, got none"),
        ("30\n10\n", "a header line .*got '30'"),
        ("GalaxyID\n30\n30\n", "each id once"),
        ("GalaxyID\n30.0\n", r"got '30.0' \(.*line 2\)"),
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

    ids, answers = read_answers(tmp_path / "new" / "answers.csv")
    assert ids.tolist() == [30, galaxy_id("NGC, 1300"), 10, 20, 40]
    np.testing.assert_allclose(answers, want, rtol=6e-7)


def with_value(value: float) -> NDArray[np.float32]:
    answers = fractions(2)
    answers[1, 4] = value
    return answers


@pytest.mark.parametrize(
    ("names", "answers", "message"),
    [
        ([7, 8], with_value(np.nan), r"got nan \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], with_value(np.inf), r"got inf \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], with_value(1.001), r"got 1.00\d+ \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], with_value(-0.001), r"got -0.001\d+ \(.*answers.csv, 8, Class2.2\)"),
        ([7, 8], fractions(2)[:, :36], r"shape \(2, 37\), got \(2, 36\)"),
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
        write_answers(path, [([3, 4], fractions(2)), (names, answers)])
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]
    assert path.read_text() == "what was there"


def test_write_answers_refuses_nothing_and_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFault, match="answers to write, got none"):
        write_answers(tmp_path / "answers.csv", [])
    with pytest.raises(DataFault, match="to write it whole"):
        write_answers(tmp_path / "file" / "answers.csv", [([1], fractions(1))])
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
