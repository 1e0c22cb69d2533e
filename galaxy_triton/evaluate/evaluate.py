"""Score a run, or a table of predictions, on labelled galaxies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.folds import answers_in
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows, open_store, require_labels, require_preprocess
from galaxy_triton.evaluate.compare import compare_with, predictions_in
from galaxy_triton.evaluate.findings import Findings
from galaxy_triton.evaluate.loaded_run import Labelled, LoadedRun, load_galaxies, overlap, predict
from galaxy_triton.evaluate.rotation import GALAXIES, RotationConsistency, rotation_consistency
from galaxy_triton.evaluate.scores import constant_scores, rmse, score
from galaxy_triton.galaxyzoo.ids import galaxy_id, rows_of
from galaxy_triton.galaxyzoo.tables import read_answers, read_names, shown
from galaxy_triton.predict.predictor import PredictOptions, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import require_alone

# Options that only a network can follow -> the fields that they set.
OF_NETWORKS = {"--views": "views", "--checkpoint": "which", "--device": "device", "--batch-size": "batch_size"}


@dataclass(frozen=True)
class ScoreOptions(PredictOptions):
    """How a network is scored.

    against: a table of other predictions for the same galaxies, or another run's folder, to compare with; None: do not
    compare. consistency: galaxies to turn and mirror, at most; 0: none.
    """

    against: Path | None = None
    consistency: int = GALAXIES


@dataclass(frozen=True)
class EvaluateOptions(ScoreOptions):
    """Options of `evaluate`.

    ids: a CSV of the galaxies to score, as for `read_names`; None: the run's validation galaxies, or for a table of
    predictions every galaxy with a label. labels: a table of labels, for a table of predictions only.
    """

    ids: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """Findings about a run or a table, and what may flatter them.

    subject: the run's folder or the table. trained_on: how many of the scored galaxies the weights were trained on, in
    the run or before it. chosen_on: whether some of them chose the checkpoint. unlabelled: rows of a table that were
    not scored because they have no label.
    """

    subject: Path
    options: EvaluateOptions
    findings: Findings
    trained_on: int = 0
    chosen_on: bool = False
    unlabelled: int = 0


def evaluate(subject: Path, store_path: Path | None, options: EvaluateOptions, display: Display) -> Evaluation:
    """Score a run's folder, a table of predictions, or a cross-validation's folder by its table of predictions.

    Args:
        store_path: the store with the labels. None: the store of the run or cross-validation; for a table
            `options.labels`.

    Raises:
        DataFault: no run, table or store there, a store packed otherwise, or galaxies without labels.
        UsageFault: no such device here, several processes, no labels or two sources of them for a table, or options
            that only a network can follow.
    """
    require_alone("evaluate")
    table = answers_in(subject)
    if table == subject and subject.is_dir():
        return _evaluate_run(subject, store_path, options, display)
    if table != subject and store_path is None and options.labels is None:
        store_path = run_folder.open_source(subject).path
    return _evaluate_table(table, store_path, options, display, list(run_folder.read_seen(subject)))


def score_run(run: LoadedRun, options: ScoreOptions, display: Display) -> Findings:
    """Predict and score the galaxies in `run.split.validation`, at least one.

    Raises:
        DataFault: predictions that are not finite, or what `compare_with` raises.
        UsageFault: what `compare_with` raises.
    """
    rows, train = run.split.validation, run.split.train
    galaxies = run.labelled(rows)
    training_mean = run.labelled(train).labels.mean(axis=0, dtype=np.float64) if len(train) else None
    predictions = predict(run.predictor, run.galaxies, run.on_device(rows), options, display)
    return Findings(
        galaxies.names,
        predictions,
        galaxies.labels,
        score(predictions, galaxies.labels),
        constant_scores(galaxies.labels, training_mean),
        noise_floor=None if run.truth is None else rmse(run.truth[rows], galaxies.labels),
        views=options.views,
        rotation=_turn(run, options, display) if options.consistency else None,
        comparison=compare_with(options.against, galaxies, predictions, options, display, run),
    )


def _turn(run: LoadedRun, options: ScoreOptions, display: Display) -> RotationConsistency:
    """Turn some of the scored galaxies, evenly spaced from the first to the last."""
    rows = run.split.validation
    places = np.linspace(0, len(rows) - 1, min(options.consistency, len(rows))).round().astype(np.int64)
    chosen = run.on_device(rows[places])
    with display.progress("turning", "images") as show:
        return rotation_consistency(run.predictor, run.galaxies, chosen, options.views, options.batch_size, show)


def _evaluate_run(folder: Path, store_path: Path | None, options: EvaluateOptions, display: Display) -> Evaluation:
    if options.labels is not None:
        do = "leave --labels out, or pack a store with these labels"
        raise UsageFault(expected("--labels with a table of predictions", "it with a run", folder, do))
    predictor = load_predictor(folder, options.which, options.device)
    store = open_store(store_path) if store_path else run_folder.open_source(folder)
    require_preprocess(store, predictor.config.preprocess)
    rows = _rows_to_score(store, folder, options.ids)
    galaxies = load_galaxies(store, predictor, options.batch_size, display)
    split = Split(_training_rows(store, run_folder.read_split(folder).train), rows)
    run = LoadedRun(folder, predictor, galaxies, split, names_of(store))
    findings = score_run(run, options, display)
    return Evaluation(folder, options, findings, *overlap(folder, options.which, store.ids[rows]))


def _evaluate_table(
    table: Path, store_path: Path | None, options: EvaluateOptions, display: Display, trained_on: list[int]
) -> Evaluation:
    _check_table_options(table, options)
    labelled = _labels_for(table, store_path, options.labels)
    predicted, _ = read_answers(table)
    listed = options.ids
    ids = predicted[np.isin(predicted, labelled.ids)] if listed is None else _read_labelled_ids(listed, labelled)
    if len(ids) == 0:
        raise DataFault(expected(f"galaxies of {table}", "none of them", labelled.where, "give the labels of these"))
    galaxies = labelled.take(rows_of(labelled.ids, np.sort(ids)))
    predictions = predictions_in(table, galaxies)
    findings = Findings(
        galaxies.names,
        predictions,
        galaxies.labels,
        score(predictions, galaxies.labels),
        constant_scores(galaxies.labels, None),
        comparison=compare_with(options.against, galaxies, predictions, options, display),
    )
    unlabelled = len(predicted) - len(ids) if listed is None else 0
    seen = int(np.isin(ids, trained_on).sum())
    return Evaluation(table, options, findings, trained_on=seen, unlabelled=unlabelled)


def _check_table_options(table: Path, options: EvaluateOptions) -> None:
    """Raise if an option is set that neither the table nor the predictions to compare with can follow."""
    with_run = options.against is not None and answers_in(options.against).is_dir()
    names = {} if with_run else OF_NETWORKS
    unused = [option for option, name in names.items() if getattr(options, name) != getattr(EvaluateOptions, name)]
    if options.consistency not in (0, EvaluateOptions.consistency):
        unused.append("--consistency")
    if unused:
        option = " and ".join(unused)
        raise UsageFault(expected(f"{option} with a run", "a table of predictions", table, f"leave {option} out"))


def _labels_for(table: Path, store_path: Path | None, labels: Path | None) -> Labelled:
    """The labelled galaxies of a store or of a table of labels."""
    if store_path is not None and labels is None:
        return _labelled_in(open_store(store_path))
    if store_path is None and labels is not None:
        ids, values = read_answers(labels)
        return Labelled(ids, read_names(labels), values, labels)
    got, do = "neither" if labels is None else "both", "name the one that has the labels"
    raise UsageFault(expected("STORE or --labels with a table of predictions", got, table, do))


def _labelled_in(store: Store) -> Labelled:
    return Labelled(store.ids, names_of(store), require_labels(store), store.path).take(labelled_rows(store))


def _rows_to_score(store: Store, run: Path, table: Path | None) -> NDArray[np.int64]:
    """The rows of the galaxies in a table of ids, or of the run's validation galaxies: int64 [n >= 1], ascending."""
    labelled = _labelled_in(store)
    if table is not None:
        ids = _read_labelled_ids(table, labelled)
    else:
        split, where = run_folder.read_split(run), run / run_folder.SPLIT
        ids = split.validation
        if len(ids) == 0:
            raise DataFault(expected("galaxies to score", "none: the run has no validation", where, "give --ids CSV"))
        names = [split.names[number] for number in ids.tolist()]
        _check_labelled(ids, names, labelled, where, "give --ids CSV, of galaxies with a label there")
    return np.sort(rows_of(store.ids, ids))


def _read_labelled_ids(table: Path, labelled: Labelled) -> NDArray[np.int64]:
    """The ids in a table, all of which have a label: int64 [n]."""
    names = read_names(table)
    ids = np.array([galaxy_id(name) for name in names], np.int64)
    _check_labelled(ids, names, labelled, table, "leave them out")
    return ids


def _check_labelled(ids: NDArray[np.int64], names: Sequence[str], labelled: Labelled, where: Path, do: str) -> None:
    missing = np.flatnonzero(~np.isin(ids, labelled.ids))
    if len(missing):
        got = f"{len(missing)} others, {shown(names[missing[0]])} the first"
        raise DataFault(expected(f"ids of labelled galaxies in {labelled.where}", got, where, do))


def _training_rows(store: Store, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the training galaxies; empty where the store lacks some of their labels, as their mean is unknown."""
    rows = rows_of(store.ids, ids)
    return np.sort(rows) if np.isin(rows, labelled_rows(store)).all() else rows[:0]
