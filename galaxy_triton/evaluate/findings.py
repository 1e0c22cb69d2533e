"""What an evaluation finds about predictions of labelled galaxies: the one source of every table, figure and file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxy_triton.evaluate.calibration import calibration_error, calibration_slope
from galaxy_triton.evaluate.rotation import RotationConsistency
from galaxy_triton.evaluate.scores import ConstantScores, Difference, Estimate, Score, galaxy_errors
from galaxy_triton.galaxyzoo.questions import ID_COLUMN, QUESTIONS, SPANS
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

    rmse: with its interval. mean_answer: RMSE of the mean label. ece, slope: see `calibration`. tree_mean,
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
        return [
            QuestionFindings(
                name,
                rmse=self.score.questions[name],
                mean_answer=self.constants.mean.questions[name].value,
                ece=calibration_error(self.predictions[:, span], self.labels[:, span]),
                slope=calibration_slope(self.predictions[:, span], self.labels[:, span]),
                tree_mean=float(means[number]),
                tree_largest=float(largest[number]),
                lower=None if self.comparison is None else self.comparison.lower.questions[name],
            )
            for number, (name, span) in enumerate(zip(self.score.questions, SPANS, strict=True))
        ]

    def by_galaxy(self) -> pd.DataFrame:
        """Each galaxy's name, its RMSE, the question with its largest RMSE, and that RMSE; the highest RMSE first."""
        errors = galaxy_errors(self.predictions, self.labels)
        questions = errors[:, 1:]
        worst = [QUESTIONS[number].name for number in questions.argmax(axis=1)]
        columns = {"rmse": errors[:, 0], "worst_question": worst, "worst_question_rmse": questions.max(axis=1)}
        table = pd.DataFrame({ID_COLUMN: pd.Series(list(self.names), dtype=object), **columns})
        return table.sort_values("rmse", ascending=False, kind="stable")

    def examples(self) -> dict[str, NDArray[np.int64]]:
        """Places of the galaxies predicted "best", in the "middle" and "worst", no galaxy twice.

        By ascending RMSE, the worst by descending. With few galaxies, the later kinds have fewer or none.
        """
        order = np.argsort(galaxy_errors(self.predictions, self.labels)[:, 0], kind="stable")
        best, rest = order[:EXAMPLES], order[EXAMPLES:]
        rest, worst = rest[:-EXAMPLES], rest[-EXAMPLES:][::-1]
        start = max(0, len(rest) - EXAMPLES) // 2
        return {"best": best, "middle": rest[start : start + EXAMPLES], "worst": worst}


def four_decimals(value: float) -> str:
    """A number of any size from 0 to 1, in four decimals where these say something."""
    return f"{value:.4f}" if value >= 5e-5 else f"{value:.0e}" if value else "0"
