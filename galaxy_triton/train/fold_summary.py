"""The result of a cross-validation: a prediction for every galaxy of the folds, and their scores."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.folds import ANSWERS, Folds, split_of_fold
from galaxy_triton.data.galaxies import answers_by_row
from galaxy_triton.data.names import names_of
from galaxy_triton.data.store import Store, require_labels
from galaxy_triton.evaluate.scores import Score, rmse, score
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.predictor import Answers, PredictOptions
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import write_text

PREDICTIONS = "held_out.csv"  # of the validation galaxies, in a fold's folder: there once the fold is done
SUMMARY, VERSION = "cross_validation.json", 1


@dataclass(frozen=True)
class FoldScore:
    """A fold: how many validation galaxies it has, and the RMSE of its predictions and of the mean training label."""

    fold: int
    galaxies: int
    rmse: float
    mean_answer: float


@dataclass(frozen=True)
class Summary:
    """All folds.

    mean, deviation: of the folds' RMSEs, the sample standard deviation. score: of all predictions.
    rows: validation galaxies of all folds, int64 [n], ascending. answers: their predictions, float32 [n, 37].
    """

    folds: list[FoldScore]
    mean: float
    deviation: float
    score: Score
    rows: NDArray[np.int64]
    answers: Answers


def fold_folder(folder: Path, number: int) -> Path:
    """The folder of a fold's run."""
    return folder / f"fold-{number}"


def summarise(folder: Path, store: Store, folds: Folds) -> Summary:
    """Read the predictions of all folds in the folder of a cross-validation, and score them.

    Raises:
        DataFault: a fold without a table of predictions, or with one that lacks a galaxy.
    """
    labels, scores = np.asarray(require_labels(store)), []
    answers = np.empty_like(labels)
    for number in range(1, folds.count + 1):
        train, rows = split_of_fold(store, folds, number)
        answers[rows] = found = _read(fold_folder(folder, number) / PREDICTIONS, store, rows)
        mean = np.broadcast_to(labels[train].mean(axis=0, dtype=np.float64), found.shape)
        scores.append(FoldScore(number, len(rows), rmse(found, labels[rows]), rmse(mean, labels[rows])))
    errors = np.array([fold.rmse for fold in scores])
    rows = np.flatnonzero(np.isin(store.ids, folds.ids))
    whole = score(answers[rows], labels[rows])
    return Summary(scores, float(errors.mean()), float(errors.std(ddof=1)), whole, rows, answers[rows])


def write_summary(folder: Path, summary: Summary, store: Store, seed: int) -> None:
    """Write the predictions in Kaggle's format, by id, and the scores as JSON; each file whole or not at all.

    Raises:
        DataFault: they cannot be written.
    """
    names = names_of(store)
    write_answers(folder / ANSWERS, [([names[row] for row in summary.rows], summary.answers)], replace=True)
    values = {
        "version": VERSION,
        "seed": seed,
        "views": PredictOptions().views,
        "folds": [asdict(fold) for fold in summary.folds],
        "mean": summary.mean,
        "standard_deviation": summary.deviation,
        "out_of_fold": asdict(summary.score),
    }
    write_text(folder / SUMMARY, json.dumps(values, indent=1) + "\n")


def summary_lines(summary: Summary, folder: Path) -> list[str]:
    """The summary for a reader."""
    whole, (low, high) = summary.score, summary.score.interval
    galaxies = f"validation galaxies: {whole.galaxies}, views: {PredictOptions().views}"
    return [
        *(
            f"{f'fold {fold.fold}':<12} {fold.rmse:.4f}  mean answer {fold.mean_answer:.4f}  "
            f"validation galaxies: {fold.galaxies}"
            for fold in summary.folds
        ),
        f"folds        {summary.mean:.4f}  ± {summary.deviation:.4f}, mean and standard deviation",
        f"RMSE         {whole.rmse:.4f}  [{low:.4f}, {high:.4f}]  {galaxies}",
        f"answers      {folder / ANSWERS}",
        f"figures      {folder / SUMMARY}",
    ]


def _read(table: Path, store: Store, rows: NDArray[np.int64]) -> Answers:
    answers = answers_by_row(table, store)[rows]
    if np.isnan(answers).any():
        do = "remove it, and go on with --resume"
        raise DataFault(expected("predictions for every galaxy of the fold", "fewer", table, do))
    return answers
