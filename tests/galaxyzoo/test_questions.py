"""The tree against Kaggle's header and the challenge's published tree, and others' names, written out by hand."""

import re

import pytest

from galaxy_triton.galaxyzoo.column_names import SCHEMES, renamed
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN, PARENTS, SIZES, SPANS
from galaxy_triton.system.errors import UsageFault

# The header of Kaggle's training_solutions_rev1.csv.
HEADER = (
    "GalaxyID,Class1.1,Class1.2,Class1.3,Class2.1,Class2.2,Class3.1,Class3.2,Class4.1,Class4.2,Class5.1,Class5.2,"
    "Class5.3,Class5.4,Class6.1,Class6.2,Class7.1,Class7.2,Class7.3,Class8.1,Class8.2,Class8.3,Class8.4,Class8.5,"
    "Class8.6,Class8.7,Class9.1,Class9.2,Class9.3,Class10.1,Class10.2,Class10.3,Class11.1,Class11.2,Class11.3,"
    "Class11.4,Class11.5,Class11.6"
)

# question -> the answer that leads to it (Willett et al. 2013, figure 1, in Kaggle's numbers); all are asked 1 and 6.
LEADS_TO = {
    2: "Class1.2",
    3: "Class2.2",
    4: "Class2.2",
    5: "Class2.2",
    7: "Class1.1",
    8: "Class6.1",
    9: "Class2.1",
    10: "Class4.1",
    11: "Class4.1",
}


def test_columns() -> None:
    assert ",".join((ID_COLUMN, *COLUMNS)) == HEADER


def test_spans() -> None:
    for number, (size, span) in enumerate(zip(SIZES, SPANS, strict=True), start=1):
        assert COLUMNS[span] == tuple(f"Class{number}.{answer}" for answer in range(1, size + 1))


def test_parents() -> None:
    named = {number: COLUMNS[parent] for number, parent in enumerate(PARENTS, start=1) if parent is not None}
    assert named == LEADS_TO


# As galaxy_datasets/shared/label_metadata.py has it, in its order (commit 0782b8f).
GZ2_ORTHO_PAIRS = {
    "smooth-or-featured-gz2": ["_smooth", "_featured-or-disk", "_artifact"],
    "disk-edge-on-gz2": ["_yes", "_no"],
    "has-spiral-arms-gz2": ["_yes", "_no"],
    "bar-gz2": ["_yes", "_no"],
    "bulge-size-gz2": ["_dominant", "_obvious", "_just-noticeable", "_no"],
    "something-odd-gz2": ["_yes", "_no"],
    "how-rounded-gz2": ["_round", "_in-between", "_cigar"],
    "bulge-shape-gz2": ["_round", "_boxy", "_no-bulge"],
    "spiral-winding-gz2": ["_tight", "_medium", "_loose"],
    "spiral-arm-count-gz2": ["_1", "_2", "_3", "_4", "_more-than-4", "_cant-tell"],
}
# Kaggle's columns in the order of that list.
IN_THEIR_ORDER = (
    "1.1 1.2 1.3 2.1 2.2 4.1 4.2 3.1 3.2 5.4 5.3 5.2 5.1 6.1 6.2 7.1 7.2 7.3 9.1 9.2 9.3 10.1 10.2 10.3 "
    "11.1 11.2 11.3 11.4 11.5 11.6"
)


def test_names_of_galaxy_datasets() -> None:
    """The bulge's sizes run the other way there, spiral comes before bar, and what is odd is not asked."""
    theirs = [question + answer for question, answers in GZ2_ORTHO_PAIRS.items() for answer in answers]
    ours = [f"Class{number}" for number in IN_THEIR_ORDER.split()]
    assert [renamed(name, "gz2_ortho_pairs", "kaggle") for name in theirs] == ours
    assert [renamed(name, "kaggle", "gz2_ortho_pairs") for name in ours] == theirs
    assert [renamed(name, "kaggle", "gz2_pairs") for name in ours] == [name.replace("-gz2", "") for name in theirs]
    assert {name for name in COLUMNS if renamed(name, "kaggle", "gz2_pairs") is None} == set(COLUMNS[18:25])


def test_names_of_the_catalogue() -> None:
    """Tasks are Kaggle's questions; answers are counted through, but 35 is missing and the last odd feature is 38."""
    tasks = re.findall(r"^t(\d\d)_.*?_a(\d\d)_", "\n".join(f"{name}_" for name in SCHEMES["gz2"]), re.MULTILINE)
    assert [int(task) for task, _ in tasks] == [n for n, size in enumerate(SIZES, start=1) for _ in range(size)]
    assert [int(answer) for _, answer in tasks] == [*range(1, 25), 38, *range(25, 35), 36, 37]


def test_renamed() -> None:
    assert renamed("bar_yes", "readable", "gz2") == "t03_bar_a06_bar"
    assert renamed("t08_odd_feature_a38_dust_lane", "gz2", "readable") == "odd_feature_dust_lane"


@pytest.mark.parametrize("source", SCHEMES)
def test_renamed_comes_back(source: str) -> None:
    """Every scheme names a column once; a way there and back ends where it began, unless there is none."""
    known = [name for name in SCHEMES[source] if name is not None]
    assert len(set(known)) == len(known) == (30 if source.endswith("pairs") else 37)
    for target in SCHEMES:
        for name in known:
            there = renamed(name, source, target)
            assert there is None or renamed(there, target, source) == name


@pytest.mark.parametrize(
    ("arguments", "got"),
    [(("bar_yes", "readable", "gz3"), "gz3"), (("bar_yes", "kaggle", "gz2"), "bar_yes")],
)
def test_renamed_refuses(arguments: tuple[str, str, str], got: str) -> None:
    with pytest.raises(UsageFault, match=f"got '{got}'"):
        renamed(*arguments)
