"""What the tests of `check` share: changes of a table, and what was found broken."""

from collections.abc import Callable
from typing import Any

from galaxy_triton.galaxyzoo.check import Checked
from galaxy_triton.galaxyzoo.rules import Finding

Table = list[list[Any]]  # the header, then rows
Change = Callable[[Table], Any]


def put(line: int, column: str | int, value: object) -> Change:
    """A change: this cell, by its line in the file."""

    def change(rows: Table) -> None:
        rows[line - 1][rows[0].index(column) if isinstance(column, str) else column] = value

    return change


def broken(found: Checked) -> dict[str, Finding]:
    return {finding.rule: finding for finding in found.findings if finding.broken}


def the_one(found: Checked) -> Finding:
    (finding,) = broken(found).values()
    return finding


def tree_rules(found: Checked) -> list[Finding]:
    return [finding for finding in found.findings if finding.rule.startswith("tree: ")]
