"""The tree against Kaggle's header and the challenge's published tree, both written out by hand."""

from galaxy_triton.questions import COLUMNS, ID_COLUMN, PARENTS, QUESTIONS, READABLE, SIZES, SPANS

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


def test_sizes_and_spans() -> None:
    assert SIZES == (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
    for number, (size, span) in enumerate(zip(SIZES, SPANS, strict=True), start=1):
        assert COLUMNS[span] == tuple(f"Class{number}.{answer}" for answer in range(1, size + 1))
    assert [span.start for span in SPANS] == [0, *(span.stop for span in SPANS[:-1])]


def test_parents() -> None:
    named = {number: COLUMNS[parent] for number, parent in enumerate(PARENTS, start=1) if parent is not None}
    assert named == LEADS_TO


def test_readable_names() -> None:
    """One for each column, none twice, each beginning with its question's name."""
    assert len(set(READABLE)) == 37
    for question, span in zip(QUESTIONS, SPANS, strict=True):
        assert all(name.startswith(f"{question.name}_") for name in READABLE[span])
