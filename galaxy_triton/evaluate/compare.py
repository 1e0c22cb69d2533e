"""Other predictions for the same galaxies: from a table, or by another run's network."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.data.folds import answers_in
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.store import open_store, require_preprocess
from galaxy_triton.evaluate.findings import Comparison
from galaxy_triton.evaluate.loaded_run import Labelled, LoadedRun, overlap, predict
from galaxy_triton.evaluate.scores import compare
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.galaxyzoo.tables import read_answers, shown
from galaxy_triton.predict.predictor import Answers, PredictOptions, Predictor, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected


def compare_with(
    against: Path | None,
    galaxies: Labelled,
    predictions: Answers,
    options: PredictOptions,
    display: Display,
    scored: LoadedRun | None = None,
) -> Comparison | None:
    """Compare predictions [n, 37] with those of `against`: a table, a run's folder or a cross-validation's, or None.

    Another run predicts on the galaxies of `scored`, the run that made the predictions, if their images are packed as
    it needs them, and else on the store it was trained on.

    Raises:
        DataFault: no table, run or store there, one without some of the galaxies, or predictions that are not finite.
        UsageFault: no such device here.
    """
    if against is None:
        return None
    table = answers_in(against)
    if table.is_dir():
        others = _predict_with(against, galaxies, options, display, scored)
        trained_on, chosen_on = overlap(against, options.which, galaxies.ids)
    else:
        others = predictions_in(table, galaxies)
        trained_on, chosen_on = int(np.isin(galaxies.ids, list(run_folder.read_seen(against))).sum()), False
    return Comparison(str(against), compare(predictions, others, galaxies.labels), trained_on, chosen_on)


def predictions_in(table: Path, galaxies: Labelled) -> Answers:
    """A table's predictions for these galaxies: float32 [n, 37].

    Raises:
        DataFault: it lacks some of them, or what `read_answers` raises.
    """
    ids, predictions = read_answers(table)
    return predictions[_rows_of_all(ids, galaxies, table, "give a table that has them all")]


def _predict_with(
    run: Path, galaxies: Labelled, options: PredictOptions, display: Display, scored: LoadedRun | None
) -> Answers:
    predictor = load_predictor(run, options.which, options.device)
    if scored is not None and scored.predictor.config.preprocess == predictor.config.preprocess:
        loaded, rows = scored.galaxies, scored.split.validation
    else:
        loaded, rows = _load_own(run, predictor, galaxies, display)
    on_device = torch.from_numpy(rows).to(predictor.backend.device)
    return predict(predictor, loaded, on_device, options, display, str(run))


def _load_own(
    run: Path, predictor: Predictor, galaxies: Labelled, display: Display
) -> tuple[Galaxies, NDArray[np.int64]]:
    """The store that a run was trained on, and its rows of these galaxies."""
    path = run_folder.read_source(run).store
    instead = f"compare with predictions of {run} in a CSV, written by `predict`"
    if not path.exists():
        raise DataFault(
            expected(f"the store that {run} was trained on", "none there", path, f"put it back, or {instead}")
        )
    store = open_store(path)
    require_preprocess(store, predictor.config.preprocess)
    rows = _rows_of_all(store.ids, galaxies, path, instead)
    with display.progress(f"reading {path}", "images") as show:
        # A GPU may have no room beside the galaxies of another store.
        host = torch.device("cpu")
        return load(store, predictor.backend.device, lambda done: show(done, len(store.ids)), host), rows


def _rows_of_all(ids: NDArray[np.int64], galaxies: Labelled, where: Path, do: str) -> NDArray[np.int64]:
    rows = rows_of(ids, galaxies.ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        got = f"no row for {len(missing)} of them, {shown(galaxies.names[missing[0]])} the first"
        raise DataFault(expected("predictions for every galaxy scored", got, where, do))
    return rows
