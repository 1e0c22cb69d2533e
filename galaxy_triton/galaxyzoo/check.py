"""Whether a table of labels or predictions, or a submission, is as it should be: every rule, in one reading."""

from dataclasses import dataclass
from pathlib import Path

from galaxy_triton.config.schema import require
from galaxy_triton.galaxyzoo import id_rules, rules
from galaxy_triton.galaxyzoo.raw_table import RawTable, read_raw
from galaxy_triton.galaxyzoo.rules import Finding


@dataclass(frozen=True)
class Asked:
    """What a table is checked for.

    kind: "labels", "predictions", "submission"; "auto": labels where the tree holds in at least half of the rows, else
    predictions. like: a store, a folder or zip of images, or a table, whose ids it should have. tolerance: by how much
    a question's answers may sum to something else than their parent's. strict: what is noted is a fault.
    """

    kind: str = "auto"
    like: Path | None = None
    tolerance: float = 1e-5  # labels of six digits: up to 2e-6 seen, 4e-6 possible
    strict: bool = False

    def __post_init__(self) -> None:
        require(self.tolerance >= 0, "the tolerance", "at least 0", self.tolerance)


@dataclass(frozen=True)
class Checked:
    """What was found of a table. kind: what it was taken for. rows: those with a cell for each column."""

    kind: str
    rows: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """How many rules do not hold that must."""
        return sum(finding.mark == "FAULT" for finding in self.findings)


def check(path: Path, wanted: Asked) -> Checked:
    """Check a CSV, or a zip that holds one: what breaks a rule is a finding, and no exception.

    The columns, a cell in each, an id in each row and each once, fractions, and the ids of `like` are always required.
    Of labels the tree's sums are too; of a submission Kaggle's order of columns, its columns alone, and whole numbers
    as ids. Otherwise these are notes; as is the order of rows, and a number of them other than Kaggle's.

    Raises:
        DataFault: no such file, no CSV in UTF-8, no header line, or `like` is no store, images or table.
    """
    table = read_raw(path)
    kind = _kind(table, wanted.tolerance) if wanted.kind == "auto" else wanted.kind
    submission = kind == "submission"
    findings = [*rules.header(table, submission), *rules.rows(table, submission), *id_rules.ids(table, submission)]
    findings += id_rules.like(table, wanted.like) if wanted.like else id_rules.ascending(table)
    findings += [*rules.values(table), *rules.tree(table, wanted.tolerance, kind == "labels")]
    judged = (finding._replace(fault=finding.fault or wanted.strict) for finding in findings)
    return Checked(kind, len(table.names), tuple(judged))


def _kind(table: RawTable, tolerance: float) -> str:
    obeys = rules.obeys_tree(table, tolerance)
    return "labels" if obeys.sum() * 2 >= max(len(obeys), 1) else "predictions"
