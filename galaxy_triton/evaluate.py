"""RMSE overall and by question, with bootstrap intervals; the evaluation of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton import run_folder
from galaxy_triton.answer import Answers, Asking, check_preprocess, open_run
from galaxy_triton.data import labelled_rows, load
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.ids import rows_of
from galaxy_triton.questions import QUESTIONS, SPANS
from galaxy_triton.ranks import require_alone
from galaxy_triton.store import Store, open_store
from galaxy_triton.table import read_answers, read_ids

RESAMPLES, DRAWN = 2000, 50  # in all, and at a time
LEVEL = 0.95


@dataclass(frozen=True)
class Score:
    """RMSE over all columns with its bootstrap interval, and the same for each question."""

    galaxies: int
    rmse: float
    interval: tuple[float, float]
    questions: dict[str, tuple[float, float, float]]  # name: RMSE, low, high


@dataclass(frozen=True)
class Asked(Asking):
    """What an evaluation is asked for.

    ids: a CSV whose first column lists the galaxies to score; None: the run's validation part.
    against: a CSV of other answers for the same galaxies, to compare with pairwise.
    """

    ids: Path | None = None
    against: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """The score of a run, and what a reader must know of it.

    trained_on: how many of the scored galaxies the run trained on. chosen_on: whether they chose the checkpoint.
    difference: by how much lower than `against` the RMSE is, with its interval.
    """

    score: Score
    trained_on: int
    chosen_on: bool
    difference: tuple[float, float, float] | None


def evaluate(run: Path, store_path: Path | None, asked: Asked, display: Display) -> Evaluation:
    """Score a run on labelled galaxies of a store; None: of the one it was trained on.

    Raises:
        DataFault: no run or store there, a store packed otherwise, or galaxies without labels.
        UsageFault: no such device here, or several processes.
    """
    require_alone("evaluate")
    answerer = open_run(run, asked.which, asked.device)
    store = open_store(store_path) if store_path else run_folder.open_source(run)
    check_preprocess(answerer.config.preprocess, store.preprocess, store.path)
    parts = run_folder.read_split(run)
    ids = parts["validation"] if asked.ids is None else read_ids(asked.ids)
    rows = _labelled(store, ids, asked.ids or run / run_folder.SPLIT)
    with display.progress("reading", "images") as show:
        galaxies = load(store, answerer.machine.device, lambda done: show(done, len(store.ids)))
    with display.progress("answering", "images") as show:
        on_device = torch.from_numpy(rows).to(answerer.machine.device)
        answers = answerer.answer(
            galaxies, on_device, asked.views, asked.batch_size, lambda done: show(done, len(rows))
        )
    labels = galaxies.answers[on_device].cpu().numpy()
    chosen_on = asked.which == run_folder.BEST and bool(np.isin(store.ids[rows], parts["validation"]).any())
    return Evaluation(
        score(answers, labels),
        int(np.isin(store.ids[rows], parts["train"]).sum()),
        chosen_on,
        _difference(answers, labels, store.ids[rows], asked.against),
    )


def rmse(answers: NDArray[np.floating], labels: NDArray[np.floating]) -> float:
    """The challenge's score: the root of the mean squared error over all galaxies and columns."""
    return float(np.sqrt(np.mean(np.square(answers.astype(np.float64) - labels))))


def score(answers: Answers, labels: Answers, seed: int = 1) -> Score:
    """RMSE with percentile bootstrap intervals over galaxies (Efron & Tibshirani 1993, ch. 13)."""
    squares = np.square(answers.astype(np.float64) - labels)
    parts = [squares, *(squares[:, span] for span in SPANS)]
    resampled = _resampled_rmse(np.column_stack([part.mean(axis=1) for part in parts]), seed)
    whole, *questions = (
        (float(np.sqrt(part.mean())), *_interval(values)) for part, values in zip(parts, resampled.T, strict=True)
    )
    names = (question.name for question in QUESTIONS)
    return Score(len(answers), whole[0], whole[1:], dict(zip(names, questions, strict=True)))


def compare(answers: Answers, others: Answers, labels: Answers, seed: int = 1) -> tuple[float, float, float]:
    """How much lower the RMSE of `answers` is than that of `others`, with its paired bootstrap interval: the same
    galaxies are drawn for both."""
    errors = (np.square(each.astype(np.float64) - labels).mean(axis=1) for each in (answers, others))
    ours, theirs = _resampled_rmse(np.column_stack(list(errors)), seed).T
    return (rmse(others, labels) - rmse(answers, labels), *_interval(theirs - ours))


def _resampled_rmse(means: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The RMSE of each column of mean squares [n, m] in every resample: [RESAMPLES, m]."""
    rng, count = np.random.default_rng(seed), len(means)
    equal = np.full(count, 1 / count)
    # some at a time: all draws of 61,578 galaxies would take a gigabyte
    parts = [rng.multinomial(count, equal, size=DRAWN) @ means / count for _ in range(RESAMPLES // DRAWN)]
    return np.sqrt(np.concatenate(parts))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _labelled(store: Store, ids: NDArray[np.int64], where: Path) -> NDArray[np.int64]:
    if len(ids) == 0:
        raise DataFault(expected("galaxies to score", "none: the run held none out", where, "give --ids CSV"))
    rows = rows_of(store.ids, ids)
    missing = ids[~np.isin(rows, labelled_rows(store))]
    if len(missing):
        got = f"{len(missing)} others, {missing[0]} the first"
        raise DataFault(expected(f"ids of labelled galaxies in {store.path}", got, where, "leave them out"))
    return np.sort(rows)


def _difference(
    answers: Answers, labels: Answers, ids: NDArray[np.int64], against: Path | None
) -> tuple[float, float, float] | None:
    if against is None:
        return None
    other_ids, others = read_answers(against)
    rows = rows_of(other_ids, ids)
    if (rows < 0).any():
        got = f"no row for {int((rows < 0).sum())} of them, {ids[rows < 0][0]} the first"
        raise DataFault(expected("answers for every galaxy scored", got, against, "score with --ids those it has"))
    return compare(answers, others[rows], labels)
