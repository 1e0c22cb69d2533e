"""Each rule on a table that keeps it and on one that breaks it in known places; all breaches in one reading."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from galaxy_triton.config.schema import TABLES
from galaxy_triton.galaxyzoo import raw_table
from galaxy_triton.galaxyzoo.check import Asked, check
from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS
from galaxy_triton.predict.layouts import CONDITIONAL
from galaxy_triton.system.errors import DataFault, UsageFault
from tests.support.checked import Change, Table, broken, put, tree_rules


def test_good_labels(table: Callable[..., Path], sky: Any) -> None:
    found = check(table(), Asked())
    assert (found.kind, found.rows, found.faults, broken(found)) == ("labels", 44, 0, {})
    assert len(tree_rules(found)) == 11
    assert "tree: Class5.1 to 5.4 sum to Class2.2 within 1e-05 (bulge)" in [rule.rule for rule in tree_rules(found)]
    assert "tree: Class6.1 to 6.2 sum to 1 within 1e-05 (odd)" in [rule.rule for rule in tree_rules(found)]


def test_rounding_is_no_breach(table: Callable[..., Path]) -> None:
    """Six digits, as Kaggle's own table has; in four the sums no longer hold, unless that is tolerated."""

    def rounded(digits: int) -> Change:
        def change(rows: Table) -> None:
            rows[1:] = [[row[0], *(f"{float(cell):.{digits}f}" for cell in row[1:])] for row in rows[1:]]

        return change

    assert check(table(rounded(6)), Asked()).faults == 0
    assert check(table(rounded(4)), Asked(kind="labels")).faults > 3
    assert check(table(rounded(4)), Asked(kind="labels", tolerance=4.1e-4)).faults == 0


@pytest.mark.parametrize(("tolerance", "faults"), [(0.0009, 1), (0.0011, 0)])
def test_tolerance(tolerance: float, faults: int, table: Callable[..., Path]) -> None:
    """A sum off by 0.001."""

    def change(rows: Table) -> None:
        put(6, "Class11.4", float(rows[5][COLUMNS.index("Class11.4") + 1]) - 0.001)(rows)

    assert check(table(change), Asked(kind="labels", tolerance=tolerance)).faults == faults


def test_in_a_zip(table: Callable[..., Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.write(table(put(3, "Class3.1", 2)), "t.csv")
    assert check(tmp_path / "t.zip", Asked()).faults == 2


@pytest.mark.parametrize(
    ("change", "rule", "count", "examples"),
    [
        (lambda rows: rows[0].__setitem__(37, "x"), "columns: GalaxyID and", 2, ("without 'Class11.6'", "also 'x'")),
        (lambda rows: [row.append(row[5]) for row in rows], "columns: GalaxyID and", 1, ("also 'Class2.2'",)),
        (put(1, 0, "id"), "columns: GalaxyID and", 2, ("without 'GalaxyID'", "also 'id'")),
        (lambda rows: rows[3].pop(), "rows: a cell for each", 1, ("line 4: 37 for 38",)),
        (lambda rows: [rows.insert(9, ["7"]) for _ in range(5)], "rows: a cell for each", 5, ("line 10: 1 for 38",)),
        (lambda rows: rows.__delitem__(slice(1, None)), "rows: at least one", 1, ("none",)),
        (put(4, 0, ""), "ids: one in each row", 1, ("line 4, GalaxyID ",)),
        (put(44, 0, "999999.0"), "ids: one in each row", 1, ("line 44, GalaxyID 999999.0",)),
        (put(45, 0, "9" * 300), "ids: one in each row", 1, ("line 45, GalaxyID 9999",)),
        (lambda rows: rows.insert(5, rows[4]), "ids: each once", 1, ("line 6, GalaxyID", "as in line 5")),
        (lambda rows: rows.insert(5, ["0" + rows[4][0], *rows[4][1:]]), "ids: each once", 1, ("line 6, GalaxyID 0",)),
        (put(7, "Class8.7", "high"), "values: numbers", 1, ("line 7, GalaxyID", "Class8.7: 'high'")),
        (put(7, "Class8.7", ""), "values: numbers", 1, ("Class8.7: ''",)),
        (put(7, "Class8.7", "nan"), "values: numbers", 1, ("Class8.7: 'nan'",)),
        (put(7, "Class10.3", "1.5"), "values: from 0 to 1", 1, ("line 7, GalaxyID", "Class10.3: '1.5'")),
        (put(7, "Class1.1", "-0.01"), "values: from 0 to 1", 1, ("Class1.1: '-0.01'",)),
        (put(7, "Class1.1", "inf"), "values: from 0 to 1", 1, ("Class1.1: 'inf'",)),
    ],
)
def test_what_is_a_fault_in_every_table(
    change: Change, rule: str, count: int, examples: tuple[str, ...], table: Callable[..., Path]
) -> None:
    for kind in TABLES:
        found = [
            finding for finding in check(table(change), Asked(kind=kind)).findings if finding.rule.startswith(rule)
        ]
        assert [(finding.mark, finding.broken) for finding in found] == [("FAULT", count)]
        said = "; ".join(found[0].examples)
        assert all(example in said for example in examples), said


@pytest.mark.parametrize(("place", "question"), [*enumerate(QUESTIONS)])
def test_the_sum_of_each_question(place: int, question: Any, table: Callable[..., Path]) -> None:
    """Its first answer raised in two lines: its own sum breaks, and those of the questions that hang from it."""
    first = f"Class{place + 1}.1"

    def change(rows: Table) -> None:
        column = rows[0].index(first)
        for line, by in ((5, 0.001), (9, 0.002)):
            rows[line - 1][column] = float(rows[line - 1][column]) + by

    found = check(table(change), Asked())
    hanging = {other.name for other in QUESTIONS if other.parent is not None and COLUMNS[other.parent] == first}
    names = {re.search(r"\((\w+)\)$", finding.rule).group(1) for finding in broken(found).values()}
    assert names == {question.name} | hanging
    for finding in broken(found).values():
        assert (finding.mark, finding.broken) == ("FAULT", 2)
        assert [example.split(",")[0] for example in finding.examples] == ["line 9", "line 5"]  # the worst first


def test_the_sums_are_named(table: Callable[..., Path], sky: Any) -> None:
    def change(rows: Table) -> None:
        for name, value in (("Class2.2", 0.5), ("Class3.1", 0.3), ("Class3.2", 0.4)):
            put(2, name, value)(rows)

    finding = broken(check(table(change), Asked()))["tree: Class3.1 to 3.2 sum to Class2.2 within 1e-05 (bar)"]
    assert finding.examples == (f"line 2, GalaxyID {sky.ids[0]}: 0.7 for 0.5",)
    assert str(finding).startswith("FAULT  tree: Class3.1 to 3.2 sum to Class2.2 within 1e-05 (bar) -- 1 not: line 2,")


def test_all_breaches_come_at_once(table: Callable[..., Path], sky: Any) -> None:
    """And no more examples of each than are shown."""

    def change(rows: Table) -> None:
        for line in range(2, 12):
            put(line, "Class9.2", "?")(rows)
        put(20, "Class1.1", 7)(rows)
        put(21, 0, rows[21][0])(rows)
        rows[30].append("more")
        rows[0][1], rows[0][2] = rows[0][2], rows[0][1]

    found = broken(check(table(change), Asked(kind="labels")))
    assert {"columns: in Kaggle's order", "rows: a cell for each column", "ids: each once"} <= set(found)
    assert found["columns: in Kaggle's order"].examples == ("'Class1.2' for 'Class1.1'", "'Class1.1' for 'Class1.2'")
    assert (found["values: numbers"].broken, found["values: from 0 to 1"].broken) == (10, 1)
    assert len(found["values: numbers"].examples) == 3
    assert str(found["values: numbers"]).endswith("Class9.2: '?'; …")


def test_chunks_are_one_table(table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def change(rows: Table) -> None:
        put(10, "Class7.3", "x")(rows)
        put(30, "Class7.3", 5)(rows)
        rows[40].append("")

    whole = check(table(change), Asked())
    monkeypatch.setattr(raw_table, "CHUNK", 7)
    assert check(table(change), Asked()) == whole
    assert whole.rows == 43


def test_predictions_need_not_obey(sigmoid: Path, sky: Any) -> None:
    """What a sigmoid head gives is noted, with --strict a fault; of labels it is one."""
    found = check(sigmoid, Asked(like=sky.images))
    assert (found.kind, found.faults) == ("predictions", 0)
    assert {finding.mark for finding in tree_rules(found)} == {"note"}
    assert check(sigmoid, Asked(strict=True)).faults == 11
    assert check(sigmoid, Asked(kind="labels")).faults == 11


def test_auto_takes_what_mostly_obeys_for_labels(table: Callable[..., Path]) -> None:
    """So a few bad rows among labels are faults."""

    def first(count: int) -> Change:
        return lambda rows: [put(line, "Class1.3", 0.99)(rows) for line in range(2, 2 + count)]

    assert [check(table(first(count)), Asked()).kind for count in (0, 22, 23)] == ["labels", "labels", "predictions"]
    assert check(table(lambda rows: rows.__delitem__(slice(1, None))), Asked()).kind == "predictions"


@pytest.mark.parametrize(
    ("change", "rule", "examples"),
    [
        (
            lambda rows: [row.insert(0, row.pop()) for row in rows],
            "columns: in Kaggle's order",
            "'Class11.6' for 'GalaxyID'",
        ),
        (put(6, 0, "NGC 1300"), "ids: whole numbers", "line 6, GalaxyID NGC 1300"),
    ],
)
def test_what_is_a_fault_in_a_submission(change: Change, rule: str, examples: str, table: Callable[..., Path]) -> None:
    for kind, mark in (("labels", "note"), ("predictions", "note"), ("submission", "FAULT")):
        finding = broken(check(table(change), Asked(kind=kind)))[rule]
        assert finding.mark == mark
        assert finding.examples[0] == examples


def test_a_wide_table(table: Callable[..., Path]) -> None:
    """Kaggle takes none of the columns that --layout wide adds."""

    def change(rows: Table) -> None:
        rows[0].extend(CONDITIONAL)
        for row in rows[1:]:
            row.extend([""] * 74)

    assert broken(check(table(change), Asked())) == {}
    finding = broken(check(table(change), Asked(kind="submission")))["columns: GalaxyID and the 37 answers"]
    assert (finding.broken, finding.examples[0]) == (74, "also 'smooth_smooth'")


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "a header line"), ("7,0.5\n", "a header line"), ('GalaxyID\n"7\n', "a CSV file in UTF-8")],
)
def test_what_is_no_table(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataFault, match=message):
        check(tmp_path / "t.csv", Asked())


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
def test_no_tolerance(tolerance: float) -> None:
    with pytest.raises(UsageFault, match="Expected the tolerance at least 0"):
        Asked(tolerance=tolerance)


def test_command(table: Callable[..., Path], sky: Any, call: Callable[..., Result]) -> None:
    """Every rule is listed, with --quiet those that are broken; the exit code tells of faults alone."""
    good = call("check", table(), "--like", sky.labels)
    lines = good.output.splitlines()
    assert good.exit_code == 0
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * (len(lines) - 1)
    assert lines[-1].endswith("t.csv: sound; 44 rows, checked as labels")
    noted = call("check", table(), "--kind", "submission", "--quiet")
    assert noted.exit_code == 0
    assert [line.split()[0] for line in noted.output.splitlines()[:-1]] == ["note"]
    assert call("check", table(), "--kind", "submission", "--strict", "--quiet").exit_code == 1
    bad = call("check", table(put(3, "Class3.1", 2)), "-q")
    assert bad.exit_code == 1
    assert [line.split(":")[0] for line in bad.output.splitlines()[:-1]] == ["FAULT  values", "FAULT  tree"]
    assert bad.output.splitlines()[-1].endswith("t.csv: 2 of 21 rules broken; 44 rows, checked as labels")
