"""The decision tree of Galaxy Zoo 2 (Willett et al. 2013, table 2) as Kaggle's Galaxy Zoo Challenge numbers it.

A column holds a cumulative fraction: of all volunteers, the fraction who gave this answer. So the answers of a question
sum to its parent, the answer that leads to the question.
"""

from typing import NamedTuple


class Question(NamedTuple):
    """A question, with its answers in the order of the columns."""

    name: str
    text: str
    answers: tuple[str, ...]
    parent: int | None  # index in COLUMNS of the answer that leads here; None: asked of every galaxy


# Question 6 is reached from several places; the challenge's table rescales it so that it always sums to one.
QUESTIONS: tuple[Question, ...] = (
    Question("smooth", "Smooth and rounded, with no sign of a disk?", ("smooth", "features", "artifact"), None),
    Question("edge_on", "A disk viewed edge-on?", ("yes", "no"), 1),
    Question("bar", "A bar through the centre?", ("yes", "no"), 4),
    Question("spiral", "A spiral arm pattern?", ("yes", "no"), 4),
    Question("bulge", "How prominent is the central bulge?", ("none", "noticeable", "obvious", "dominant"), 4),
    Question("odd", "Anything odd?", ("yes", "no"), None),
    Question("round", "How rounded?", ("round", "in_between", "cigar"), 0),
    Question(
        "odd_feature",
        "What is odd?",
        ("ring", "lens_or_arc", "disturbed", "irregular", "other", "merger", "dust_lane"),
        13,
    ),
    Question("edge_on_bulge", "Shape of the edge-on bulge?", ("rounded", "boxy", "none"), 3),
    Question("winding", "How tightly wound are the arms?", ("tight", "medium", "loose"), 7),
    Question("arms", "How many spiral arms?", ("one", "two", "three", "four", "more", "cannot_tell"), 7),
)

SIZES: tuple[int, ...] = tuple(len(question.answers) for question in QUESTIONS)
PARENTS: tuple[int | None, ...] = tuple(question.parent for question in QUESTIONS)
COLUMNS: tuple[str, ...] = tuple(
    f"Class{number}.{answer}" for number, size in enumerate(SIZES, start=1) for answer in range(1, size + 1)
)
SPANS: tuple[slice, ...] = tuple(slice(sum(SIZES[:i]), sum(SIZES[: i + 1])) for i in range(len(SIZES)))
ID_COLUMN = "GalaxyID"
