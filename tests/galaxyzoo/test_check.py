"""Each rule of `check`, on a table that keeps it and on one that breaks it in known places."""

import csv
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from galaxy_triton.data.names import read_galaxies
from galaxy_triton.data.pack import pack
from galaxy_triton.galaxyzoo.check import CheckOptions, CheckResult, Finding, check
from galaxy_triton.galaxyzoo.column_names import READABLE
from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS, SIZES, SPANS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.tree import CONVERSIONS, conditional, sums
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.layouts import CONDITIONAL
from galaxy_triton.system.errors import DataFault

Rows = list[list[Any]]  # the header, then the rows
Change = Callable[[Rows], Any]


@pytest.fixture
def table(sky: Any, tmp_path: Path) -> Callable[..., Path]:
    """table(change): the sky's labels, 44 rows that keep every rule, after a change."""

    def make(change: Change = lambda rows: None, name: str = "t.csv") -> Path:
        with sky.labels.open(newline="") as handle:
            rows = list(csv.reader(handle))
        change(rows)
        with (tmp_path / name).open("w", newline="") as handle:
            csv.writer(handle).writerows(rows)
        return tmp_path / name

    return make


@pytest.fixture
def sigmoid(sky: Any, tmp_path: Path) -> Path:
    """Predictions for the sky's 48 images, as a sigmoid head gives them: no sum of them holds."""
    answers = np.random.default_rng(3).uniform(0.1, 0.9, (48, 37))
    write_answers(tmp_path / "sigmoid.csv", [(sky.ids, answers)])
    return tmp_path / "sigmoid.csv"


def put(line: int, column: str | int, value: object) -> Change:
    """A change: this cell, by its line in the file."""

    def change(rows: Rows) -> None:
        rows[line - 1][rows[0].index(column) if isinstance(column, str) else column] = value

    return change


def header_alone(rows: Rows) -> None:
    del rows[1:]


def broken(result: CheckResult) -> dict[str, Finding]:
    return {finding.rule: finding for finding in result.findings if finding.broken}


def checked(path: Path, **options: Any) -> dict[str, Finding]:
    return broken(check(path, CheckOptions(**options)))


def tree_rules(result: CheckResult) -> list[Finding]:
    return [finding for finding in result.findings if finding.rule.startswith("tree: ")]


def test_good_labels(table: Callable[..., Path]) -> None:
    """With six digits, as in Kaggle's own table."""

    def rounded(rows: Rows) -> None:
        rows[1:] = [[row[0], *(f"{float(cell):.6f}" for cell in row[1:])] for row in rows[1:]]

    result = check(table(rounded), CheckOptions())
    assert (result.kind, result.rows, result.faults, broken(result)) == ("labels", 44, 0, {})
    assert len(tree_rules(result)) == len(QUESTIONS)


@pytest.mark.parametrize(("tolerance", "faults"), [(0.0009, 1), (0.0011, 0)])
def test_tolerance(tolerance: float, faults: int, table: Callable[..., Path]) -> None:
    """A sum off by 0.001."""

    def change(rows: Rows) -> None:
        put(6, "Class11.4", float(rows[5][COLUMNS.index("Class11.4") + 1]) - 0.001)(rows)

    assert check(table(change), CheckOptions(kind="labels", tolerance=tolerance)).faults == faults


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_sum_of_each_question(question: Any, table: Callable[..., Path]) -> None:
    """Its first answer raised in two lines: its own sum breaks, and the sums of the questions that hang from it."""
    first = f"Class{QUESTIONS.index(question) + 1}.1"

    def change(rows: Rows) -> None:
        column = rows[0].index(first)
        for line, by in ((5, 0.001), (9, 0.002)):
            rows[line - 1][column] = float(rows[line - 1][column]) + by

    found = checked(table(change))
    hanging = {other.name for other in QUESTIONS if other.parent is not None and COLUMNS[other.parent] == first}
    assert {rule.rsplit("(")[1].rstrip(")") for rule in found} == {question.name} | hanging
    for finding in found.values():
        assert (finding.mark, finding.broken) == ("FAULT", 2)
        assert [example.split(",")[0] for example in finding.examples] == ["line 9", "line 5"]  # the worst first


def test_broken_sum_is_named(table: Callable[..., Path], sky: Any) -> None:
    def change(rows: Rows) -> None:
        for name, value in (("Class2.2", 0.5), ("Class3.1", 0.3), ("Class3.2", 0.4)):
            put(2, name, value)(rows)

    finding = checked(table(change))["tree: Class3.1 to 3.2 sum to Class2.2 within 1e-05 (bar)"]
    assert finding.examples == (f"line 2, GalaxyID {sky.ids[0]}: 0.7 for 0.5",)
    assert re.match(r"FAULT .*\(bar\) -- 1 not: line 2,", str(finding))


def test_predictions_need_not_obey_the_tree(sigmoid: Path) -> None:
    """The broken sums of a sigmoid head are notes; with --strict, and in labels, they are faults."""
    result = check(sigmoid, CheckOptions())
    assert (result.kind, result.faults) == ("predictions", 0)
    assert {finding.mark for finding in tree_rules(result)} == {"note"}
    assert check(sigmoid, CheckOptions(strict=True)).faults == 11
    assert check(sigmoid, CheckOptions(kind="labels")).faults == 11


def test_auto_needs_half_of_the_rows_for_labels(table: Callable[..., Path]) -> None:
    def first(count: int) -> Change:
        return lambda rows: [put(line, "Class1.3", 0.99)(rows) for line in range(2, 2 + count)]

    kinds = [check(table(first(count)), CheckOptions()).kind for count in (0, 22, 23)]
    assert kinds == ["labels", "labels", "predictions"]
    assert check(table(header_alone), CheckOptions()).kind == "predictions"


def test_faults_of_a_submission(table: Callable[..., Path]) -> None:
    """Kaggle's order of columns, and whole numbers as ids."""

    def change(rows: Rows) -> None:
        put(6, 0, "NGC 1300")(rows)
        rows[0][1], rows[0][2] = rows[0][2], rows[0][1]

    for kind, mark in (("labels", "note"), ("predictions", "note"), ("submission", "FAULT")):
        found = checked(table(change), kind=kind)
        order, numbers = found["columns: in Kaggle's order"], found["ids: whole numbers"]
        assert (order.mark, order.examples) == (mark, ("'Class1.2' for 'Class1.1'", "'Class1.1' for 'Class1.2'"))
        assert (numbers.mark, numbers.examples) == (mark, ("line 6, GalaxyID NGC 1300",))


def test_submission_of_another_size(table: Callable[..., Path]) -> None:
    found = checked(table(), kind="submission")
    assert [(finding.mark, finding.examples) for finding in found.values()] == [("note", ("44",))]


def test_wide_table(table: Callable[..., Path]) -> None:
    """Kaggle takes none of the columns that --layout wide adds."""

    def change(rows: Rows) -> None:
        rows[0].extend(CONDITIONAL)
        for row in rows[1:]:
            row.extend([""] * 74)

    assert checked(table(change)) == {}
    finding = checked(table(change), kind="submission")["columns: GalaxyID and the 37 answers"]
    assert (finding.broken, finding.examples[0]) == (74, "also 'smooth_smooth'")


def test_conditional_table(table: Callable[..., Path]) -> None:
    """As `predict --layout conditional` writes it: the answers of a question sum to 1, or their cells are empty."""

    def change(rows: Rows) -> None:
        rows[1:] = [[row[0], *cells] for row, cells in zip(rows[1:], of_asked(rows).tolist(), strict=True)]
        rows[0][1:] = READABLE
        rows[1:] = [["" if cell != cell else cell for cell in row] for row in rows[1:]]

    result = check(table(change), CheckOptions())
    assert (result.kind, result.faults, broken(result)) == ("conditional", 0, {})
    wrong = table(lambda rows: (change(rows), put(5, "smooth_smooth", 0.999)(rows), put(6, "odd_no", "")(rows)))
    assert [finding.broken for finding in checked(wrong).values()] == [1]
    assert checked(table(change), kind="labels")["columns: GalaxyID and the 37 answers"].broken == 37


def of_asked(rows: Rows) -> NDArray[np.float64]:
    return conditional(np.array([row[1:] for row in rows[1:]], dtype=np.float64))


@pytest.mark.parametrize(
    ("look", "number"),
    [
        ("fractions of those who were asked", np.nan_to_num),
        ("percent", lambda fractions: 100 * np.nan_to_num(fractions)),
        ("counts of votes", lambda fractions: np.nan_to_num(fractions * 40).round()),
    ],
)
def test_numbers_of_another_meaning(look: str, number: Callable[..., Any], table: Callable[..., Path]) -> None:
    """They are named by every reader, and what the message says makes labels of them."""

    def change(rows: Rows) -> None:
        rows[1:] = [[row[0], *cells] for row, cells in zip(rows[1:], number(of_asked(rows)).tolist(), strict=True)]

    def follow(rows: Rows) -> None:
        change(rows)
        values = np.array([row[1:] for row in rows[1:]]) / (100 if look == "percent" else 1)
        if look == "counts of votes":
            totals = np.repeat(sums(values), SIZES, axis=1)
            values = np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)
        for question, answer in re.findall(r"Class(\d+) by (Class[\d.]+)", CONVERSIONS["counts of votes"]):
            values[:, SPANS[int(question) - 1]] *= values[:, [COLUMNS.index(answer)]]
        rows[1:] = [[row[0], *cells] for row, cells in zip(rows[1:], values.tolist(), strict=True)]

    for kind in ("auto", "labels", "predictions", "submission"):
        finding = checked(table(change), kind=kind)["values: fractions of all people"]
        assert (finding.mark, finding.examples) == ("FAULT", (f"they look like {look}: {CONVERSIONS[look]}",))
    with pytest.raises(DataFault, match=f"fractions of all people, got {look} "):
        read_answers(table(change))
    assert "values: fractions of all people" not in checked(table(follow))
    assert len(read_answers(table(follow))[0]) == 44


def test_ids_out_of_order(table: Callable[..., Path], sky: Any) -> None:
    def swap(rows: Rows) -> None:
        rows[5], rows[6] = rows[6], rows[5]

    finding = checked(table(swap))["ids: ascending"]
    assert (finding.mark, finding.examples) == ("note", (f"line 7, GalaxyID {sky.ids[4]}",))


@pytest.mark.parametrize("form", ["images", "archive", "store", "table", "zipped"])
def test_ids_like_others(form: str, table: Callable[..., Path], sigmoid: Path, sky: Any, tmp_path: Path) -> None:
    """44 of the 48 have labels: four are missing; and one is renamed."""
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        archive.write(sigmoid, "folder/zipped.csv")
    others = {"table": sigmoid, "zipped": tmp_path / "zipped.zip"}
    like = read_galaxies(others.get(form) or getattr(sky, form))
    missing, extra = checked(table(put(4, 0, "7")), like=like).values()
    assert (missing.mark, missing.broken) == (extra.mark, 5) == ("FAULT", 5)
    assert missing.examples[:2] == (f"without {sky.ids[2]}", f"without {sky.ids[44]}")
    assert extra.examples == ("line 4, GalaxyID 7",)


def test_ids_like_names(table: Callable[..., Path], sky: Any, tmp_path: Path) -> None:
    """Images whose stems are no numbers are named as they are."""
    (tmp_path / "images").mkdir()
    for stem in ("NGC 1300", "NGC 7", *sky.ids[:44]):
        (tmp_path / "images" / f"{stem}.png").write_bytes(next(iter(sky.images.iterdir())).read_bytes())
    pack(tmp_path / "images", None, tmp_path / "store", size=24, workers=1)
    for other in (tmp_path / "images", tmp_path / "store"):
        found = checked(table(lambda rows: rows.append(["NGC 7", *rows[3][1:]])), like=read_galaxies(other))
        assert found["ids: all that --like has"].examples == ("without NGC 1300",)
        assert "ids: none that --like lacks" not in found


def test_ids_in_the_order_of_others(table: Callable[..., Path], sky: Any) -> None:
    """In place of the ascending order."""
    other = table(lambda rows: rows.__setitem__(slice(1, None), rows[:0:-1]), "other.csv")
    finding = checked(table(), like=read_galaxies(other))["ids: in the order of --like"]
    assert (finding.mark, finding.broken) == ("note", 44)
    assert finding.examples[0] == f"line 2, GalaxyID {sky.ids[0]}: for {sky.ids[43]}"
    assert checked(other, like=read_galaxies(other)) == {}


def test_command(table: Callable[..., Path], sky: Any, call: Callable[..., Result]) -> None:
    """Every rule is listed, with --quiet the broken ones; the exit code tells of faults alone."""
    good = call("check", table(), "--like", sky.labels)
    assert (good.exit_code, {line.split()[0] for line in good.output.splitlines()[:-1]}) == (0, {"ok"})
    noted = call("check", table(), "--kind", "submission", "--quiet")
    assert (noted.exit_code, [line.split()[0] for line in noted.output.splitlines()[:-1]]) == (0, ["note"])
    assert call("check", table(), "--kind", "submission", "--strict", "--quiet").exit_code == 1
    bad = call("check", table(put(3, "Class3.1", 2)), "-q")
    assert bad.exit_code == 1
    assert [line.split(":")[0] for line in bad.output.splitlines()[:-1]] == ["FAULT  values", "FAULT  tree"]
    assert "2 of 21 rules broken" in bad.output
