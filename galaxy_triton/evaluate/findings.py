"""What labelled galaxies say about answers: gathered once, for every table, figure and file."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.split import Split
from galaxy_triton.evaluate import calibration
from galaxy_triton.evaluate.compare import Loaded, Named, Names, other_answers
from galaxy_triton.evaluate.rotation import GALAXIES, Consistency, consistency
from galaxy_triton.evaluate.scores import (
    Constants,
    Difference,
    Estimate,
    Score,
    by_galaxy,
    compare,
    constants,
    rmse,
    score,
)
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.galaxyzoo.tree import gaps
from galaxy_triton.predict.predictor import Answers, PredictOptions, Predictor, check_finite
from galaxy_triton.system.console import Display

EXAMPLES = 4  # galaxies of each kind


@dataclass(frozen=True)
class Inquiry(PredictOptions):
    """What is asked of a network beside its score.

    against: a table of other answers for the same galaxies or another run's folder, to compare with pairwise.
    consistency: how many galaxies are turned to see how far the answers move, at most; 0: none.
    """

    against: Path | None = None
    consistency: int = GALAXIES


class Comparison(NamedTuple):
    """By how much lower the RMSE is than that of the answers called `name`. trained_on: how many of the galaxies they
    come from a network that trained on them. chosen_on: whether some of them chose its checkpoint."""

    name: str
    lower: Difference
    trained_on: int
    chosen_on: bool = False


class QuestionFindings(NamedTuple):
    """Of one question: RMSE with its interval, the mean answer's, calibration, how far the answers' sum is from the
    parent's answer, and by how much lower the RMSE is than the other answers'."""

    name: str
    rmse: Estimate
    mean_answer: float
    ece: float
    slope: float
    tree_mean: float
    tree_largest: float
    lower: Estimate | None


class GalaxyError(NamedTuple):
    """The RMSE of a galaxy, the question where it is largest, and that question's."""

    name: str
    rmse: float
    question: str
    question_rmse: float


@dataclass(frozen=True)
class Findings:
    """Labelled galaxies: what users call them [n], and their answers, float32 [n, 37].

    score, constants: of the answers, and of constant ones. noise_floor: RMSE of the true probabilities, None where
    they are unknown. views: fixed views averaged, None of a table. consistency, comparison: None where not asked for.
    """

    names: Names
    predicted: Answers
    people: Answers
    score: Score
    constants: Constants
    noise_floor: float | None = None
    views: int | None = None
    consistency: Consistency | None = None
    comparison: Comparison | None = None

    def by_question(self) -> list[QuestionFindings]:
        """A row for each question."""
        calibrations = calibration.by_question(calibration.calibration_of, self.predicted, self.people)
        off = gaps(self.predicted)
        means, largest = off.mean(axis=0), off.max(axis=0)
        return [
            QuestionFindings(
                name,
                self.score.questions[name],
                self.constants.mean.questions[name][0],
                *calibrations[name],
                tree_mean=float(means[number]),
                tree_largest=float(largest[number]),
                lower=None if self.comparison is None else self.comparison.lower.questions[name],
            )
            for number, name in enumerate(self.score.questions)
        ]

    def by_galaxy(self) -> list[GalaxyError]:
        """A row for each galaxy, the highest RMSE first."""
        errors = by_galaxy(self.predicted, self.people)
        order = np.argsort(-errors.rmse, kind="stable")
        rows = zip(order, errors.rmse[order], errors.worst[order], errors.worst_rmse[order], strict=True)
        return [
            GalaxyError(str(self.names[place]), float(value), QUESTIONS[worst].name, float(worst_value))
            for place, value, worst, worst_value in rows
        ]

    def examples(self) -> dict[str, NDArray[np.int64]]:
        """The places of the galaxies answered "best", in the "middle" and "worst", no galaxy twice.

        The lowest error comes first, but the highest among the worst. Of few galaxies, the later kinds have fewer or
        none.
        """
        order = np.argsort(by_galaxy(self.predicted, self.people).rmse, kind="stable")
        best, rest = order[:EXAMPLES], order[EXAMPLES:]
        rest, worst = rest[:-EXAMPLES], rest[-EXAMPLES:][::-1]
        start = max(0, len(rest) - EXAMPLES) // 2
        return {"best": best, "middle": rest[start : start + EXAMPLES], "worst": worst}


def find(
    predictor: Predictor,
    galaxies: Galaxies,
    split: Split,
    names: Names,
    truth: Answers | None,
    asked: Inquiry,
    display: Display,
) -> Findings:
    """Ask a network about the galaxies held out, of which there is at least one.

    Args:
        answerer, galaxies: on one device, but for pixels that the host keeps.
        split: rows; where none was trained on, the mean answer is that of the galaxies held out.
        names: of the galaxies, by row.
        truth: the true probabilities by row, float32 [N, 37], or None.

    Raises:
        DataFault: answers that are no numbers, or what `other_answers` raises.
        UsageFault: what `other_answers` raises.
    """
    held_out, train = split.validation, split.train
    people, on_train = (galaxies.answers[_on(galaxies, rows)].cpu().numpy() for rows in (held_out, train))
    predicted = _answers(predictor, galaxies, held_out, asked, display)
    called = [str(names[row]) for row in held_out]
    return Findings(
        names=called,
        predicted=predicted,
        people=people,
        score=score(predicted, people),
        constants=constants(people, on_train.mean(axis=0, dtype=np.float64) if len(train) else None),
        noise_floor=None if truth is None else rmse(truth[held_out], people),
        views=asked.views,
        consistency=_consistency(predictor, galaxies, held_out, asked, display) if asked.consistency else None,
        comparison=_comparison(predictor, galaxies, held_out, called, predicted, asked, display),
    )


def compared(
    galaxies: Named,
    predicted: Answers,
    people: Answers,
    asked: Inquiry,
    display: Display,
    loaded: Loaded | None = None,
) -> Comparison | None:
    """The answers [n, 37] of these galaxies beside those that `asked` names; None where it names none.

    Raises:
        DataFault, UsageFault: what `other_answers` raises.
    """
    if asked.against is None:
        return None
    others = other_answers(asked.against, galaxies, asked, display, loaded)
    lower = compare(predicted, others.answers, people)
    return Comparison(str(asked.against), lower, others.trained_on, others.chosen_on)


def _answers(
    predictor: Predictor, galaxies: Galaxies, rows: NDArray[np.int64], asked: Inquiry, display: Display
) -> Answers:
    with display.progress("answering", "images") as show:
        answers = predictor.answer(
            galaxies, _on(galaxies, rows), asked.views, asked.batch_size, lambda done: show(done, len(rows))
        )
    check_finite(answers, "the network")
    return answers


def _consistency(
    predictor: Predictor, galaxies: Galaxies, rows: NDArray[np.int64], asked: Inquiry, display: Display
) -> Consistency:
    """Of some galaxies, evenly spaced from the first to the last."""
    places = np.linspace(0, len(rows) - 1, min(asked.consistency, len(rows))).round().astype(np.int64)
    with display.progress("turning", "images") as show:
        return consistency(predictor, galaxies, _on(galaxies, rows[places]), asked.views, asked.batch_size, show)


def _comparison(
    predictor: Predictor,
    galaxies: Galaxies,
    rows: NDArray[np.int64],
    names: Names,
    predicted: Answers,
    asked: Inquiry,
    display: Display,
) -> Comparison | None:
    on_device = _on(galaxies, rows)
    ids, people = (values[on_device].cpu().numpy() for values in (galaxies.ids, galaxies.answers))
    loaded = Loaded(predictor.config.preprocess, galaxies, rows)
    return compared(Named(ids, names), predicted, people, asked, display, loaded)


def _on(galaxies: Galaxies, rows: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(rows).to(galaxies.ids.device)
