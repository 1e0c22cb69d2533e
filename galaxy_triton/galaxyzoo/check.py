"""Checking a table of labels or predictions, or a submission: every rule, in one reading."""

import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from galaxy_triton.config.schema import require
from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import galaxy_id, is_cell_id, is_integer
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN, QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tables import EXAMPLES, Faults, Table, read_table
from galaxy_triton.galaxyzoo.tree import asked_share, gaps, sums

KAGGLE_ROWS = 79_975  # of the challenge's test set


@dataclass(frozen=True)
class CheckOptions:
    """How to check a table.

    kind: "labels", "predictions", "submission"; "auto": labels where the tree's sums hold in at least half of the rows,
    else predictions. like: the ids that the table should have, with their names, in the order they should have.
    tolerance: largest difference between the sum of a question's answers and their parent's answer. strict: notes are
    faults.
    """

    kind: str = "auto"
    like: dict[int, str] | None = None
    tolerance: float = 1e-5  # labels of six digits: up to 2e-6 seen, 4e-6 possible
    strict: bool = False

    def __post_init__(self) -> None:
        require(self.tolerance >= 0, "the tolerance", "at least 0", self.tolerance)


class Finding(NamedTuple):
    """A rule and the places that break it."""

    rule: str
    broken: int  # how many places
    examples: tuple[str, ...]  # the first of them
    fault: bool  # otherwise a note

    @property
    def mark(self) -> str:
        """ok, note or FAULT."""
        return "ok" if not self.broken else "FAULT" if self.fault else "note"

    def __str__(self) -> str:
        more = "; …" * (self.broken > len(self.examples))
        places = f" -- {self.broken:,} not: {'; '.join(self.examples)}{more}" if self.broken else ""
        return f"{self.mark:<5}  {self.rule}{places}"


@dataclass(frozen=True)
class CheckResult:
    """The kind a table was checked as, its rows that are not ragged, and a finding for each rule."""

    kind: str
    rows: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """The number of broken rules that are faults."""
        return sum(finding.mark == "FAULT" for finding in self.findings)


def check(path: Path, options: CheckOptions) -> CheckResult:
    """Check a CSV, or a zip that holds one. A broken rule is a finding, not an exception.

    Faults in every table: missing or unknown columns, ragged rows, an id missing, invalid or doubled, values that are
    no fractions, ids other than those of `like`. Of labels the tree's sums are too; of a submission any other order or
    number of columns than Kaggle's, and ids that are no whole numbers. Elsewhere these are notes, as are the order of
    the rows and a number of rows other than Kaggle's.

    Raises:
        DataFault: no such file, not a CSV in UTF-8, or no header line.
    """
    table = read_table(path)
    kind = _kind(table, options.tolerance) if options.kind == "auto" else options.kind
    submission = kind == "submission"
    findings = [*_header(table, submission), *_rows(table, submission), *_ids(table, submission, options.like)]
    findings += [*_values(table), *_tree(table, options.tolerance, fault=kind == "labels")]
    judged = (finding._replace(fault=finding.fault or options.strict) for finding in findings)
    return CheckResult(kind, len(table.names), tuple(judged))


def _kind(table: Table, tolerance: float) -> str:
    """Labels where the sums of the tree hold in at least half of the rows."""
    holding = int((gaps(table.values) <= tolerance).all(axis=1).sum())
    return "labels" if holding * 2 >= max(len(table.names), 1) else "predictions"


def _finding(rule: str, places: Iterable[str], fault: bool = True) -> Finding:
    found = list(places)
    return Finding(rule, len(found), tuple(found[:EXAMPLES]), fault)


def _header(table: Table, submission: bool) -> Iterator[Finding]:
    """The columns; those that `predict --layout wide` adds are faults in a submission only."""
    extra = table.extra_columns(() if submission else (*READABLE, *SPREADS))
    places = [f"without {name!r}" for name in table.missing_columns()] + [f"also {name!r}" for name in extra]
    yield _finding(f"columns: {ID_COLUMN} and the 37 answers", places)
    wanted = [name for name in (ID_COLUMN, *COLUMNS) if name in table.header]
    order = [name for name in dict.fromkeys(table.header) if name in wanted]
    moved = [f"{name!r} for {want!r}" for name, want in zip(order, wanted, strict=True) if name != want]
    yield _finding("columns: in Kaggle's order", moved, submission)


def _rows(table: Table, submission: bool) -> Iterator[Finding]:
    count, width = len(table.names), len(table.header)
    ragged = (f"line {fault.line}: {fault.got} for {width}" for fault in table.ragged.first)
    yield Finding("rows: a cell for each column", table.ragged.count, tuple(ragged), fault=True)
    yield _finding("rows: at least one", [] if count else ["none"])
    if submission:
        other = [] if count == KAGGLE_ROWS else [f"{count:,}"]
        yield _finding(f"rows: {KAGGLE_ROWS:,}, as in Kaggle's test set", other, fault=False)


def _ids(table: Table, submission: bool, like: dict[int, str] | None) -> Iterator[Finding]:
    """An id in each row, each once; whole numbers in a submission; and the ids of `like` in their order."""
    invalid = (line for line, name in table.names.items() if not is_cell_id(name))
    yield _finding("ids: one in each row", (_where(table, line) for line in invalid))
    numbers = {line: galaxy_id(name) for line, name in table.names.items() if is_cell_id(name)}
    words = (line for line in numbers if not is_integer(table.names[line]))
    yield _finding("ids: whole numbers", (_where(table, line) for line in words), submission)
    first: dict[int, int] = {}
    for line, number in numbers.items():
        first.setdefault(number, line)
    again = (line for line, number in numbers.items() if first[number] != line)
    yield _finding("ids: each once", (f"{_where(table, line)}: as in line {first[numbers[line]]}" for line in again))
    yield from _ascending(table, numbers) if like is None else _like(table, first, like)


def _ascending(table: Table, numbers: dict[int, int]) -> Iterator[Finding]:
    """Ascending ids, as in Kaggle's tables."""
    falls = (line for (_, before), (line, number) in pairwise(numbers.items()) if number < before)
    yield _finding("ids: ascending", (_where(table, line) for line in falls), fault=False)


def _like(table: Table, lines: dict[int, int], wanted: dict[int, str]) -> Iterator[Finding]:
    """All wanted ids (with their names) and no others, in their order. lines: the first line of each id."""
    missing = (f"without {_shown(name)}" for number, name in wanted.items() if number not in lines)
    yield _finding("ids: all that --like has", missing)
    extra = (line for number, line in lines.items() if number not in wanted)
    yield _finding("ids: none that --like lacks", (_where(table, line) for line in extra))
    ours, theirs = [number for number in lines if number in wanted], [number for number in wanted if number in lines]
    moved = (
        f"{_where(table, lines[our])}: for {_shown(wanted[their])}"
        for our, their in zip(ours, theirs, strict=True)
        if our != their
    )
    yield _finding("ids: in the order of --like", moved, fault=False)


def _values(table: Table) -> Iterator[Finding]:
    yield _cells(table, "values: numbers", table.not_numbers)
    yield _cells(table, "values: from 0 to 1", table.out_of_range)


def _cells(table: Table, rule: str, faults: Faults) -> Finding:
    places = (f"{_where(table, at.line)}, {COLUMNS[at.column]}: {reprlib.repr(at.got)}" for at in faults.first)
    return Finding(rule, faults.count, tuple(places), fault=True)


def _tree(table: Table, tolerance: float, fault: bool) -> Iterator[Finding]:
    """The sum of each question's answers is their parent's answer; for questions whose columns are all there.

    The rows that are furthest off come first.
    """
    lines, have, want, off = list(table.names), sums(table.values), asked_share(table.values), gaps(table.values)
    for number, (question, span) in enumerate(zip(QUESTIONS, SPANS, strict=True)):
        if np.isnan(off[:, number]).all():
            continue
        parent = "1" if question.parent is None else COLUMNS[question.parent]
        rule = f"tree: {COLUMNS[span][0]} to {COLUMNS[span][-1].removeprefix('Class')} sum to {parent}"
        broken = np.flatnonzero(off[:, number] > tolerance)
        worst = broken[np.argsort(-off[broken, number], kind="stable")][:EXAMPLES]
        places = (f"{_where(table, lines[row])}: {have[row, number]:.6g} for {want[row, number]:.6g}" for row in worst)
        yield Finding(f"{rule} within {tolerance:g} ({question.name})", len(broken), tuple(places), fault)


def _where(table: Table, line: int) -> str:
    return f"line {line}, {ID_COLUMN} {_shown(table.names[line])}"


def _shown(name: str) -> str:
    """A name in a message: short, without control characters that a terminal would obey."""
    return reprlib.repr(name)[1:-1]
