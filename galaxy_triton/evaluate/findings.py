"""What an evaluation finds about predictions of labelled galaxies: the one source of every table, figure and file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.evaluate.calibration import calibration_of
from galaxy_triton.evaluate.rotation import RotationConsistency
from galaxy_triton.evaluate.scores import ConstantScores, Difference, Estimate, Score, galaxy_errors
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tree import gaps
from galaxy_triton.predict.predictor import Answers

EXAMPLES = 4  # galaxies of each kind


@dataclass(frozen=True)
class Comparison:
    """The RMSE beside that of other predictions of the same galaxies.

    name: of the others, as the user gave it. lower: how much lower the RMSE is. trained_on: how many of the galaxies
    the others' network was trained on, as far as is known: 0 for a table. chosen_on: whether some of them chose its
    checkpoint.
    """

    name: str
    lower: Difference
    trained_on: int
    chosen_on: bool


@dataclass(frozen=True)
class QuestionFindings:
    """Findings about one question.

    rmse: with its interval. mean_answer: RMSE of the mean label. ece, slope: of the calibration. tree_mean,
    tree_largest: how far the sum of the predictions is from the prediction of the answer that leads to the question.
    lower: how much lower the RMSE is than that of the predictions compared with; None without a comparison.
    """

    name: str
    rmse: Estimate
    mean_answer: float
    ece: float
    slope: float
    tree_mean: float
    tree_largest: float
    lower: Estimate | None


@dataclass(frozen=True)
class GalaxyError:
    """The RMSE of a galaxy, the question with its largest RMSE, and that RMSE."""

    name: str
    rmse: float
    question: str
    question_rmse: float


@dataclass(frozen=True)
class Findings:
    """Predictions of labelled galaxies and their scores.

    names: as users call the galaxies [n]. predictions, labels: float32 [n, 37]. constants: scores of constant
    predictions. noise_floor: RMSE of the true probabilities; None where they are unknown. views: fixed views averaged;
    None for a table. rotation, comparison: None where they were not asked for.
    """

    names: Sequence[str]
    predictions: Answers
    labels: Answers
    score: Score
    constants: ConstantScores
    noise_floor: float | None = None
    views: int | None = None
    rotation: RotationConsistency | None = None
    comparison: Comparison | None = None

    def by_question(self) -> list[QuestionFindings]:
        """A row for each question."""
        off = gaps(self.predictions)
        means, largest = off.mean(axis=0), off.max(axis=0)
        rows = []
        for number, (name, span) in enumerate(zip(self.score.questions, SPANS, strict=True)):
            calibration = calibration_of(self.predictions[:, span], self.labels[:, span])
            rows.append(
                QuestionFindings(
                    name,
                    self.score.questions[name],
                    self.constants.mean.questions[name].value,
                    calibration.ece,
                    calibration.slope,
                    float(means[number]),
                    float(largest[number]),
                    None if self.comparison is None else self.comparison.lower.questions[name],
                )
            )
        return rows

    def by_galaxy(self) -> list[GalaxyError]:
        """A row for each galaxy, the highest RMSE first."""
        errors = galaxy_errors(self.predictions, self.labels)
        overall, questions = errors[:, 0], errors[:, 1:]
        worst = questions.argmax(axis=1)
        return [
            GalaxyError(str(self.names[i]), float(overall[i]), QUESTIONS[worst[i]].name, float(questions[i, worst[i]]))
            for i in np.argsort(-overall, kind="stable")
        ]

    def examples(self) -> dict[str, NDArray[np.int64]]:
        """Places of the galaxies predicted "best", in the "middle" and "worst", no galaxy twice.

        By ascending RMSE, the worst by descending. With few galaxies, the later kinds have fewer or none.
        """
        order = np.argsort(galaxy_errors(self.predictions, self.labels)[:, 0], kind="stable")
        best, rest = order[:EXAMPLES], order[EXAMPLES:]
        rest, worst = rest[:-EXAMPLES], rest[-EXAMPLES:][::-1]
        start = max(0, len(rest) - EXAMPLES) // 2
        return {"best": best, "middle": rest[start : start + EXAMPLES], "worst": worst}
