"""Other answers about the same galaxies: those of a table, or of another run, which is asked in the same way."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.folds import answers_in
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.store import Store, open_store, require_preprocess
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.predict.predictor import Answers, PredictOptions, Predictor, check_finite, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected

Names = Sequence[str] | NDArray[np.str_]


class Named(NamedTuple):
    """Galaxies: their ids, int64 [n], and what users call them [n]."""

    ids: NDArray[np.int64]
    names: Names


class Loaded(NamedTuple):
    """Galaxies on a device, and the rows (int64 [n]) of those asked about. preprocess: how their images were packed."""

    preprocess: Preprocess
    galaxies: Galaxies
    rows: NDArray[np.int64]


class Others(NamedTuple):
    """Other answers, float32 [n, 37]. trained_on: how many of these galaxies the other weights were trained on, as far
    as is known: 0 of a table. chosen_on: whether some chose the other checkpoint."""

    answers: Answers
    trained_on: int
    chosen_on: bool = False


def other_answers(
    against: Path, galaxies: Named, asking: PredictOptions, display: Display, loaded: Loaded | None = None
) -> Others:
    """What a table, a run's folder or that of a cross-validation answers about these galaxies.

    A run is asked on `loaded`, the same galaxies, where its images are packed as the run needs them, and else on the
    store that it was trained on.

    Raises:
        DataFault: no table, run or store there, one without some of the galaxies, or answers that are no numbers.
        UsageFault: no such device here.
    """
    table = answers_in(against)
    if table.is_dir():
        return _of_run(table, galaxies, asking, display, loaded)
    seen = np.isin(galaxies.ids, run_folder.read_seen(against))
    return Others(table_answers(table, galaxies), int(seen.sum()))


def table_answers(table: Path, galaxies: Named) -> Answers:
    """The answers of a table to these galaxies: float32 [n, 37].

    Raises:
        DataFault: it lacks some of them, or what `read_answers` raises.
    """
    known, answers = read_answers(table)
    rows = _rows_of_all(known, galaxies, table, "score with --ids those it has")
    return answers[rows]


def chosen_on(run: Path, which: str, ids: NDArray[np.int64]) -> bool:
    """Whether some of the galaxies `ids` chose a run's checkpoint `which`.

    Raises:
        DataFault: the run's split.csv is missing or not as written.
    """
    return which == run_folder.BEST and bool(np.isin(ids, run_folder.read_split(run).validation).any())


def _of_run(run: Path, galaxies: Named, asking: PredictOptions, display: Display, loaded: Loaded | None) -> Others:
    predictor = load_predictor(run, asking.which, asking.device)
    if loaded is None or loaded.preprocess != predictor.config.preprocess:
        loaded = _own(run, predictor, galaxies, display)
    rows = torch.from_numpy(loaded.rows).to(predictor.backend.device)
    with display.progress(f"answering with {run}", "images") as show:
        answers = predictor.answer(
            loaded.galaxies, rows, asking.views, asking.batch_size, lambda done: show(done, len(rows))
        )
    check_finite(answers, f"the network of {run}")
    trained_on = int(np.isin(galaxies.ids, run_folder.training_ids(run)).sum())
    return Others(answers, trained_on, chosen_on(run, asking.which, galaxies.ids))


def _own(run: Path, predictor: Predictor, wanted: Named, display: Display) -> Loaded:
    """The galaxies wanted, of the store that a run was trained on."""
    store = _open_source(run)
    require_preprocess(store, predictor.config.preprocess)
    rows = _rows_of_all(store.ids, wanted, store.path, f"compare with answers of {run} in a CSV, made by `predict`")
    with display.progress(f"reading {store.path}", "images") as show:
        # Beside the galaxies of another store a GPU may have no place for these.
        galaxies = load(store, predictor.backend.device, lambda done: show(done, len(store.ids)), torch.device("cpu"))
    return Loaded(store.preprocess, galaxies, rows)


def _open_source(run: Path) -> Store:
    path = run_folder.read_source(run).store
    if not path.exists():
        do = f"put it back, or compare with answers of {run} in a CSV, made by `predict`"
        raise DataFault(expected(f"the store that {run} was trained on", "none there", path, do))
    return open_store(path)


def _rows_of_all(known: NDArray[np.int64], galaxies: Named, where: Path, do: str) -> NDArray[np.int64]:
    rows = rows_of(known, galaxies.ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        got = f"no row for {len(missing)} of them, {galaxies.names[missing[0]]} the first"
        raise DataFault(expected("answers for every galaxy scored", got, where, do))
    return rows
