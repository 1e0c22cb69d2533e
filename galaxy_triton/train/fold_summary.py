"""The result of a cross-validation: a prediction for every held-out galaxy, and their scores."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Run
from galaxy_triton.data.folds import ANSWERS
from galaxy_triton.data.galaxies import answers_by_row
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, require_labels
from galaxy_triton.evaluate.scores import Score, rmse, score
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.predictor import Answers, PredictOptions
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import write_text

SUMMARY = "cross_validation.json"
VERSION = 1  # of cross_validation.json


@dataclass(frozen=True)
class FoldResult:
    """Predictions of a fold's run on its validation galaxies.

    rows: of the store, int64 [n], ascending. answers: the predictions, float32 [n, 37]. mean_answer: RMSE of predicting
    the mean of the training labels.
    """

    rows: NDArray[np.int64]
    answers: Answers
    rmse: float
    mean_answer: float


@dataclass(frozen=True)
class Summary:
    """All folds. mean, deviation: of the folds' RMSEs, the sample standard deviation. score: of all predictions."""

    folds: Sequence[FoldResult]
    mean: float
    deviation: float
    score: Score


def result_of(table: Path, store: Store, split: Split) -> FoldResult:
    """Read the predictions that a fold's run wrote, and score them.

    Raises:
        DataFault: no such table, or one that lacks a validation galaxy.
    """
    rows = split.validation
    answers = answers_by_row(table, store)[rows]
    if np.isnan(answers).any():
        do = "remove it, and go on with --resume"
        raise DataFault(expected("predictions for every galaxy of the fold", "fewer", table, do))
    labels = _labels(store, rows)
    mean = _labels(store, split.train).mean(axis=0, dtype=np.float64)
    return FoldResult(rows, answers, rmse(answers, labels), rmse(np.broadcast_to(mean, labels.shape), labels))


def summarise(folds: Sequence[FoldResult], store: Store) -> Summary:
    """Combine two or more folds."""
    errors = np.array([fold.rmse for fold in folds])
    rows, answers = _combined(folds)
    return Summary(folds, float(errors.mean()), float(errors.std(ddof=1)), score(answers, _labels(store, rows)))


def write_summary(folder: Path, summary: Summary, store: Store, run: Run) -> None:
    """Write the predictions in Kaggle's format, by id, and the scores as JSON; each file whole or not at all.

    Raises:
        DataFault: they cannot be written.
    """
    rows, answers = _combined(summary.folds)
    names = names_of(store)
    write_answers(folder / ANSWERS, [([names[row] for row in rows], answers)])
    values = {"version": VERSION, "seed": run.seed, "views": PredictOptions().views}
    write_text(folder / SUMMARY, json.dumps(values | _figures(summary), indent=1) + "\n")


def lines(summary: Summary, folder: Path) -> list[str]:
    """The summary for a reader."""
    folds = [f"{f'fold {number}':<12} {_line(fold)}" for number, fold in enumerate(summary.folds, 1)]
    low, high = summary.score.interval
    held_out = f"galaxies held out: {summary.score.galaxies}, views: {PredictOptions().views}"
    return [
        *folds,
        f"folds        {summary.mean:.4f}  ± {summary.deviation:.4f}, mean and standard deviation",
        f"RMSE         {summary.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {held_out}",
        f"answers      {folder / ANSWERS}",
        f"figures      {folder / SUMMARY}",
    ]


def _line(fold: FoldResult) -> str:
    return f"{fold.rmse:.4f}  mean answer {fold.mean_answer:.4f}  galaxies held out: {len(fold.rows)}"


def _figures(summary: Summary) -> dict[str, object]:
    folds = [
        {"fold": number, "galaxies": len(fold.rows), "rmse": fold.rmse, "mean_answer": fold.mean_answer}
        for number, fold in enumerate(summary.folds, 1)
    ]
    spread = {"mean": summary.mean, "standard_deviation": summary.deviation}
    return {"folds": folds, **spread, "out_of_fold": asdict(summary.score)}


def _combined(folds: Sequence[FoldResult]) -> tuple[NDArray[np.int64], Answers]:
    """The rows of all folds, ascending, and their predictions."""
    rows = np.concatenate([fold.rows for fold in folds])
    answers = np.concatenate([fold.answers for fold in folds])
    order = np.argsort(rows)
    return rows[order], answers[order]


def _labels(store: Store, rows: NDArray[np.int64]) -> Answers:
    return np.array(require_labels(store)[rows])
