"""CSV tables: what is read, what is refused and where, what is written."""

import csv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo import tables as table
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers, read_ids
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.layouts import CONDITIONAL
from galaxy_triton.system.errors import DataFault
from tests.support.memory import memory_of, trace_memory

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
        pytest.param("", "a header line .*got an empty file", id="empty"),
        pytest.param(text(HEADER, []), "rows below the header, got none", id="header alone"),
        pytest.param(GOOD.split("\n", 1)[1], r"a header line .*got '10' \(.*table.csv, line 1\)", id="no header"),
        pytest.param(changed(1, 4, "Class9.9"), r"without 'Class2.1' and also 'Class9.9'", id="renamed"),
        pytest.param(changed(1, 0, "id"), "without 'GalaxyID' and also 'id'", id="id renamed"),
        pytest.param(text(["GalaxyID"], [[1]]), "without 'Class1.1', 'Class1.2', 'Class1.3', …", id="ids alone"),
        pytest.param(text([*HEADER, "x"], [[1] * 39]), "got also 'x'", id="extra column"),
        pytest.param(text([*HEADER, "bar_yes", "bar_yes"], [[1] * 40]), "got also 'bar_yes'", id="wide column twice"),
        pytest.param(text([*HEADER, "bar_yes"], [[1] * 38]), r"39 cells, got 38 \(.*line 2\)", id="short wide row"),
        pytest.param(
            text(["GalaxyID", *CONDITIONAL], []), r"'Class1.3', … .*predict with --layout wide", id="conditional"
        ),
        pytest.param(text([*HEADER, "Class1.1"], [[1] * 39]), "got also 'Class1.1'", id="column twice"),
        pytest.param(changed(3, 0, 10), "each id once, got 10 and 10", id="id twice"),
        pytest.param(changed(3, 0, "0010"), "each id once, got 10 and 0010", id="id twice, written otherwise"),
        pytest.param(changed(3, 0, "20.0"), r"id, got '20.0' \(.*line 3\)", id="float id"),
        pytest.param(changed(4, 0, ""), r"id, got '' \(.*line 4\)", id="no id"),
        pytest.param(changed(4, 0, "nan"), r"id, got 'nan' \(.*line 4\)", id="nan id"),
        pytest.param(changed(2, 5, "nan"), r"from 0 to 1, got 'nan' \(.*line 2, Class2.2\)", id="nan"),
        pytest.param(changed(2, 5, ""), r"from 0 to 1, got '' \(.*line 2, Class2.2\)", id="blank"),
        pytest.param(changed(3, 1, "high"), r"from 0 to 1, got 'high' \(.*line 3, Class1.1\)", id="text"),
        pytest.param(changed(4, 37, "1.01"), r"from 0 to 1, got '1.01' \(.*line 4, Class11.6\)", id="above 1"),
        pytest.param(changed(4, 37, "-0.1"), r"from 0 to 1, got '-0.1' \(.*line 4, Class11.6\)", id="below 0"),
        pytest.param(changed(4, 37, "inf"), r"from 0 to 1, got 'inf'", id="infinite"),
        pytest.param(GOOD + "40,0.5\n", r"38 cells, got 2 \(.*line 5\)", id="short row"),
        pytest.param(GOOD[:-1] + ",0.5\n", r"38 cells, got 39 \(.*line 4\)", id="long row"),
        pytest.param(GOOD + '"40,0.5\n', "a CSV file in UTF-8", id="open quote"),
    ],
)
def test_read_answers_refuses(write: Callable[[str], Path], content: str, message: str) -> None:
    path = write(content)
    with pytest.raises(DataFault, match=message) as fault:
        read_answers(path)
    assert str(path) in str(fault.value)


def test_read_answers_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xd8\xff\xe0" * 50)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    messages = {
        "binary.csv": "a CSV file in UTF-8",
        "broken.zip": "a whole zip file",
        "two.zip": "one CSV file in the zip, got 2",
        "absent.csv": "got No such file or directory",
        "": "got Is a directory",
    }
    for name, message in messages.items():
        with pytest.raises(DataFault, match=message):
            read_answers(tmp_path / name)


def test_read_ids(write: Callable[[str], Path]) -> None:
    ids = read_ids(write("GalaxyID,part\n30,train\nNGC 1300\n10,validation,x\n"))
    assert (ids.dtype, ids.tolist()) == (np.int64, [30, galaxy_id("NGC 1300"), 10])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got an empty file"),
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


def test_write_answers_holds_one_chunk(tmp_path: Path) -> None:
    def held_at_the_end(count: int) -> int:
        held: list[int] = []

        def chunks() -> Iterator[tuple[range, NDArray[np.float64]]]:
            for i in range(count):
                yield range(i * 50, i * 50 + 50), fractions(50).astype(np.float64)
            held.append(memory_of(table))

        with trace_memory():
            write_answers(tmp_path / "answers.csv", chunks())
        return held[0]

    # 36 more chunks of 50 x 37 floats would be 0.5 MB, and as text 0.7 MB; the ids, which are kept, are 0.2 MB
    assert held_at_the_end(40) - held_at_the_end(4) < 350_000
