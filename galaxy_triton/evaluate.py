"""The evaluation of a run, or of a table of predictions, on labelled galaxies."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton import run_folder
from galaxy_triton.against import table_answers
from galaxy_triton.answer import check_preprocess, open_run
from galaxy_triton.data import Split, labelled_rows, load, names_of
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, UsageFault, expected
from galaxy_triton.findings import Findings, Inquiry, compared, find
from galaxy_triton.folds import answers_in
from galaxy_triton.ids import rows_of
from galaxy_triton.ranks import require_alone
from galaxy_triton.scores import constants, score
from galaxy_triton.store import Store, open_store
from galaxy_triton.table import read_answers, read_ids


@dataclass(frozen=True)
class Asked(Inquiry):
    """What an evaluation is asked for.

    ids: a CSV whose first column lists the galaxies to score; None: the run's validation part, or of a table of
    predictions every galaxy with a label. labels: a table of labels, for a table of predictions alone.
    """

    ids: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was found of a run or a table, and what a reader must know of it.

    trained_on: how many of the scored galaxies the weights were trained on, in the run or before it. chosen_on: whether
    they chose the checkpoint.
    unlabelled: rows of a table of predictions that were not scored, as they have no label.
    """

    subject: Path
    asked: Asked
    findings: Findings
    trained_on: int = 0
    chosen_on: bool = False
    unlabelled: int = 0


def evaluate(subject: Path, store_path: Path | None, asked: Asked, display: Display) -> Evaluation:
    """Score a run's folder, or a table of predictions, on labelled galaxies of a store; of the folder of a
    cross-validation the table of its answers.

    Args:
        store_path: None: for a run or a cross-validation the store it was trained on, for a table `asked.labels`.

    Raises:
        DataFault: no run, table or store there, a store packed otherwise, or galaxies without labels.
        UsageFault: no such device here, several processes, or no labels or two sources of them for a table.
    """
    require_alone("evaluate")
    table = answers_in(subject)
    if table == subject and subject.is_dir():
        return _of_run(subject, store_path, asked, display)
    if table != subject and store_path is None and asked.labels is None:
        store_path = run_folder.open_source(subject).path
    return _of_table(table, store_path, asked, display, run_folder.seen_before(subject))


def _of_run(run: Path, store_path: Path | None, asked: Asked, display: Display) -> Evaluation:
    if asked.labels is not None:
        do = "leave --labels out, or pack a store with these labels"
        raise UsageFault(expected("--labels with a table of predictions", "it with a run", run, do))
    answerer = open_run(run, asked.which, asked.device)
    store = open_store(store_path) if store_path else run_folder.open_source(run)
    check_preprocess(answerer.config.preprocess, store.preprocess, store.path)
    parts = run_folder.read_split(run)
    ids = parts["validation"] if asked.ids is None else read_ids(asked.ids)
    rows = _labelled(store, ids, asked.ids or run / run_folder.SPLIT)
    with display.progress("reading", "images") as show:
        galaxies = load(store, answerer.machine.device, lambda done: show(done, len(store.ids)))
    split = Split(_trained_on(store, parts["train"]), rows)
    chosen_on = asked.which == run_folder.BEST and bool(np.isin(store.ids[rows], parts["validation"]).any())
    return Evaluation(
        run,
        asked,
        find(answerer, galaxies, split, names_of(store), None, asked, display),
        trained_on=int(np.isin(store.ids[rows], run_folder.trained_on(run)).sum()),
        chosen_on=chosen_on,
    )


def _of_table(
    table: Path, store_path: Path | None, asked: Asked, display: Display, seen: NDArray[np.int64]
) -> Evaluation:
    truth = _truth(table, store_path, asked.labels)
    answered, _ = read_answers(table)
    ids = np.sort(answered[np.isin(answered, truth.ids)] if asked.ids is None else read_ids(asked.ids))
    if len(ids) == 0:
        raise DataFault(expected(f"galaxies of {table}", "none of them", truth.where, "give the labels of these"))
    rows = rows_of(truth.ids, ids)
    if (rows < 0).any():
        raise _unlabelled(ids[rows < 0], truth.where, asked.ids)
    people, predicted = truth.labels[rows], table_answers(table, ids)
    findings = Findings(
        [str(name) for name in truth.names[rows]],
        predicted,
        people,
        score(predicted, people),
        constants(people, None),
        comparison=compared(ids, predicted, people, asked, display),
    )
    unlabelled = len(answered) - len(ids) if asked.ids is None else 0
    return Evaluation(table, asked, findings, trained_on=int(np.isin(ids, seen).sum()), unlabelled=unlabelled)


class _Truth(NamedTuple):
    """Labels float32 [n, 37] of the galaxies `ids` int64 [n], which users call `names` [n]; all of `where`."""

    ids: NDArray[np.int64]
    labels: NDArray[np.float32]
    names: NDArray[np.str_]
    where: Path


def _truth(table: Path, store_path: Path | None, labels: Path | None) -> _Truth:
    if labels is not None and store_path is None:
        ids, answers = read_answers(labels)
        return _Truth(ids, answers, ids.astype(np.str_), labels)
    if store_path is None or labels is not None:
        got = "neither" if store_path is None else "both"
        do = "name the one that has the labels"
        raise UsageFault(expected("STORE or --labels with a table of predictions", got, table, do))
    store = open_store(store_path)
    rows = labelled_rows(store)
    if store.labels is None:
        raise DataFault(expected("a store with labels", "one without", store_path, "pack it again with --labels"))
    return _Truth(store.ids[rows], store.labels[rows], names_of(store)[rows], store_path)


def _labelled(store: Store, ids: NDArray[np.int64], where: Path) -> NDArray[np.int64]:
    if len(ids) == 0:
        raise DataFault(expected("galaxies to score", "none: the run held none out", where, "give --ids CSV"))
    rows = rows_of(store.ids, ids)
    missing = ids[~np.isin(rows, labelled_rows(store))]
    if len(missing):
        raise _unlabelled(missing, store.path, where)
    return np.sort(rows)


def _unlabelled(missing: NDArray[np.int64], truth: Path, where: object) -> DataFault:
    got = f"{len(missing)} others, {missing[0]} the first"
    return DataFault(expected(f"ids of labelled galaxies in {truth}", got, where, "leave them out"))


def _trained_on(store: Store, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the galaxies trained on; none where the store lacks the label of any: their mean is unknown then."""
    rows = rows_of(store.ids, ids)
    return np.sort(rows) if np.isin(rows, labelled_rows(store)).all() else rows[:0]
