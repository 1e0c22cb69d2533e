"""Other answers about the same galaxies: those of a table, or of another run, which is asked in the same way."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton import run_folder
from galaxy_triton.answer import Answerer, Answers, Asking, check_preprocess, open_run
from galaxy_triton.config import Preprocess
from galaxy_triton.data import Galaxies, load
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.folds import answers_in
from galaxy_triton.ids import rows_of
from galaxy_triton.store import Store, open_store
from galaxy_triton.table import read_answers


class Loaded(NamedTuple):
    """Galaxies on a device, and the rows (int64 [n]) of those asked about. preprocess: how their images were packed."""

    preprocess: Preprocess
    galaxies: Galaxies
    rows: NDArray[np.int64]


class Others(NamedTuple):
    """Other answers, float32 [n, 37]. trained_on: how many of these galaxies the other weights were trained on, as far
    as is known: 0 of a table."""

    answers: Answers
    trained_on: int


def other_answers(
    against: Path, ids: NDArray[np.int64], asking: Asking, display: Display, loaded: Loaded | None = None
) -> Others:
    """What a table, a run's folder or that of a cross-validation answers about the galaxies `ids`.

    A run is asked on `loaded`, the same galaxies, where its images are packed as the run needs them, and else on the
    store that it was trained on.

    Raises:
        DataFault: no table, run or store there, or one without some of the galaxies.
        UsageFault: no such device here.
    """
    table = answers_in(against)
    if table.is_dir():
        return _of_run(table, ids, asking, display, loaded)
    return Others(table_answers(table, ids), int(np.isin(ids, run_folder.seen_before(against)).sum()))


def table_answers(table: Path, ids: NDArray[np.int64]) -> Answers:
    """The answers of a table to the galaxies `ids`: float32 [n, 37].

    Raises:
        DataFault: it lacks some of them, or what `read_answers` raises.
    """
    known, answers = read_answers(table)
    rows = _rows_of_all(known, ids, table, "score with --ids those it has")
    return answers[rows]


def _of_run(run: Path, ids: NDArray[np.int64], asking: Asking, display: Display, loaded: Loaded | None) -> Others:
    answerer = open_run(run, asking.which, asking.device)
    if loaded is None or loaded.preprocess != answerer.config.preprocess:
        loaded = _own(run, answerer, ids, display)
    rows = torch.from_numpy(loaded.rows).to(answerer.machine.device)
    with display.progress(f"answering with {run}", "images") as show:
        answers = answerer.answer(
            loaded.galaxies, rows, asking.views, asking.batch_size, lambda done: show(done, len(rows))
        )
    return Others(answers, int(np.isin(ids, run_folder.trained_on(run)).sum()))


def _own(run: Path, answerer: Answerer, ids: NDArray[np.int64], display: Display) -> Loaded:
    """The galaxies `ids` of the store that a run was trained on."""
    store = _open_source(run)
    check_preprocess(answerer.config.preprocess, store.preprocess, store.path)
    rows = _rows_of_all(store.ids, ids, store.path, f"compare with answers of {run} in a CSV, made by `predict`")
    with display.progress(f"reading {store.path}", "images") as show:
        # Beside the galaxies of another store a GPU may have no place for these.
        galaxies = load(store, answerer.machine.device, lambda done: show(done, len(store.ids)), torch.device("cpu"))
    return Loaded(store.preprocess, galaxies, rows)


def _open_source(run: Path) -> Store:
    path = run_folder.read_source(run).store
    if not path.exists():
        do = f"put it back, or compare with answers of {run} in a CSV, made by `predict`"
        raise DataFault(expected(f"the store that {run} was trained on", "none there", path, do))
    return open_store(path)


def _rows_of_all(known: NDArray[np.int64], ids: NDArray[np.int64], where: Path, do: str) -> NDArray[np.int64]:
    rows = rows_of(known, ids)
    if (rows < 0).any():
        got = f"no row for {int((rows < 0).sum())} of them, {ids[rows < 0][0]} the first"
        raise DataFault(expected("answers for every galaxy scored", got, where, do))
    return rows
