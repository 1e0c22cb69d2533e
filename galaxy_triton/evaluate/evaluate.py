"""The evaluation of a run, or of a table of predictions, on labelled galaxies."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.data.folds import answers_in
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows, open_store, require_labels, require_preprocess
from galaxy_triton.evaluate.compare import Named, chosen_on, table_answers
from galaxy_triton.evaluate.findings import Findings, Inquiry, compared, find
from galaxy_triton.evaluate.scores import constants, score
from galaxy_triton.galaxyzoo.ids import galaxy_id, rows_of
from galaxy_triton.galaxyzoo.tables import read_answers, read_names
from galaxy_triton.model.device import free_memory
from galaxy_triton.model.head import training_bytes
from galaxy_triton.model.memory import residence
from galaxy_triton.predict.predictor import Predictor, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import require_alone

# The options that ask a network -> the fields that they set.
ASKING = {"--views": "views", "--checkpoint": "which", "--device": "device", "--batch-size": "batch_size"}


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
        UsageFault: no such device here, several processes, no labels or two sources of them for a table, or what only a
            network can be asked.
    """
    require_alone("evaluate")
    table = answers_in(subject)
    if table == subject and subject.is_dir():
        return _of_run(subject, store_path, asked, display)
    if table != subject and store_path is None and asked.labels is None:
        store_path = run_folder.open_source(subject).path
    return _of_table(table, store_path, asked, display, run_folder.read_seen(subject))


def _of_run(run: Path, store_path: Path | None, asked: Asked, display: Display) -> Evaluation:
    if asked.labels is not None:
        do = "leave --labels out, or pack a store with these labels"
        raise UsageFault(expected("--labels with a table of predictions", "it with a run", run, do))
    predictor = load_predictor(run, asked.which, asked.device)
    store = open_store(store_path) if store_path else run_folder.open_source(run)
    require_preprocess(store, predictor.config.preprocess)
    rows = _scored(store, run, asked.ids)
    galaxies = galaxies_of(store, predictor, asked.batch_size, display)
    split = Split(_trained_on(store, run_folder.read_split(run).train), rows)
    return Evaluation(
        run,
        asked,
        find(predictor, galaxies, split, names_of(store), None, asked, display),
        trained_on=int(np.isin(store.ids[rows], run_folder.training_ids(run)).sum()),
        chosen_on=chosen_on(run, asked.which, store.ids[rows]),
    )


def galaxies_of(store: Store, predictor: Predictor, batch_size: int, display: Display) -> Galaxies:
    """The galaxies of a store, for a network to be asked about so many at a time: their pixels where the network is if
    they fit there, else on the host.

    Raises:
        DataFault: as `load`.
    """
    backend, network, size = predictor.backend, predictor.config.network, predictor.config.augmentation.size
    step = training_bytes(network, batch_size, size, backend.dtype.itemsize)  # asking takes less
    # a CPU has no other place for them, and a smaller store would be none of this run
    free = None if backend.device.type == "cpu" else free_memory(backend.device)
    choice = residence("auto", backend.device, store.pixels.nbytes, step, free)
    pixels_on = torch.device("cpu") if choice.name == "host" else backend.device
    with display.progress("reading", "images") as show:
        return load(store, backend.device, lambda done: show(done, len(store.ids)), pixels_on)


def _of_table(
    table: Path, store_path: Path | None, asked: Asked, display: Display, seen: NDArray[np.int64]
) -> Evaluation:
    _check_asking(table, asked)
    truth = _truth(table, store_path, asked.labels)
    answered, _ = read_answers(table)
    ids = answered[np.isin(answered, truth.ids)] if asked.ids is None else _listed(asked.ids, truth)
    if len(ids) == 0:
        raise DataFault(expected(f"galaxies of {table}", "none of them", truth.where, "give the labels of these"))
    findings = _findings(table, truth, rows_of(truth.ids, np.sort(ids)), asked, display)
    unlabelled = len(answered) - len(ids) if asked.ids is None else 0
    return Evaluation(table, asked, findings, trained_on=int(np.isin(ids, seen).sum()), unlabelled=unlabelled)


def _check_asking(table: Path, asked: Asked) -> None:
    """Raise unless what is asked of networks alone is asked of one: of that to compare with, if any."""
    beside_run = asked.against is not None and answers_in(asked.against).is_dir()
    names = {} if beside_run else ASKING
    unused = [option for option, name in names.items() if getattr(asked, name) != getattr(Asked, name)]
    if asked.consistency not in (0, Asked.consistency):
        unused.append("--consistency")
    if unused:
        option = " and ".join(unused)
        raise UsageFault(expected(f"{option} with a run", "a table of predictions", table, f"leave {option} out"))


class _Truth(NamedTuple):
    """Labels float32 [n, 37] of the galaxies `ids` int64 [n], which users call `names` [n]; all of `where`."""

    ids: NDArray[np.int64]
    labels: NDArray[np.float32]
    names: list[str]
    where: Path


def _truth(table: Path, store_path: Path | None, labels: Path | None) -> _Truth:
    if labels is not None and store_path is None:
        return _Truth(*read_answers(labels), read_names(labels), labels)
    if store_path is None or labels is not None:
        got = "neither" if store_path is None else "both"
        do = "name the one that has the labels"
        raise UsageFault(expected("STORE or --labels with a table of predictions", got, table, do))
    return _truth_of(open_store(store_path))


def _truth_of(store: Store) -> _Truth:
    labels, rows, names = require_labels(store), labelled_rows(store), names_of(store)
    return _Truth(store.ids[rows], labels[rows], [names[row] for row in rows], store.path)


def _findings(table: Path, truth: _Truth, rows: NDArray[np.int64], asked: Asked, display: Display) -> Findings:
    galaxies, people = Named(truth.ids[rows], [truth.names[row] for row in rows]), truth.labels[rows]
    predicted = table_answers(table, galaxies)
    return Findings(
        galaxies.names,
        predicted,
        people,
        score(predicted, people),
        constants(people, None),
        comparison=compared(galaxies, predicted, people, asked, display),
    )


def _scored(store: Store, run: Path, listed: Path | None) -> NDArray[np.int64]:
    """The rows of the galaxies to score: those listed, or those that the run held out. int64 [n >= 1], ascending."""
    truth = _truth_of(store)
    if listed is not None:
        return np.sort(rows_of(store.ids, _listed(listed, truth)))
    ids, where = run_folder.read_split(run).validation, run / run_folder.SPLIT
    if len(ids) == 0:
        raise DataFault(expected("galaxies to score", "none: the run held none out", where, "give --ids CSV"))
    _check_labelled(Named(ids, ids.astype(np.str_)), truth, where, "give --ids CSV, of galaxies with a label there")
    return np.sort(rows_of(store.ids, ids))


def _listed(table: Path, truth: _Truth) -> NDArray[np.int64]:
    """The galaxies that a table of ids lists, which all have a label: int64 [n]."""
    names = read_names(table)
    ids = np.array([galaxy_id(name) for name in names], np.int64)
    _check_labelled(Named(ids, names), truth, table, "leave them out")
    return ids


def _check_labelled(galaxies: Named, truth: _Truth, where: Path, do: str) -> None:
    missing = np.flatnonzero(~np.isin(galaxies.ids, truth.ids))
    if len(missing):
        got = f"{len(missing)} others, {galaxies.names[missing[0]]} the first"
        raise DataFault(expected(f"ids of labelled galaxies in {truth.where}", got, where, do))


def _trained_on(store: Store, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the galaxies trained on; none where the store lacks the label of any: their mean is unknown then."""
    rows = rows_of(store.ids, ids)
    return np.sort(rows) if np.isin(rows, labelled_rows(store)).all() else rows[:0]
