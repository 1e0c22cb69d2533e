"""What each choice of a recipe is worth on real files: one training for each row and seed.

    python -m bench.accuracy.axes DATA --work FOLDER --out bench/results/axes-cpu.json
        [--table networks] [--rows NAME ...]

Every row is compared with the first one on the validation galaxies, paired by galaxy and seed. The result is a JSON
file, and a page (.md) beside it. DATA holds images_training_rev1.zip, training_solutions_rev1.csv, and a CSV of
validation galaxies with their own labels. Trainings that FOLDER holds already are not repeated, so a table can grow
over many calls. Each training has one thread.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from bench.accuracy.axes_page import page
from bench.accuracy.axes_rows import BASE, TABLES, Row
from bench.accuracy.trainings import Squares, file_of, option_parser, packed, paired, run_all
from bench.peers.winner_colour import tinted
from bench.publish.made_with import made_with
from bench.scripts import write_result
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override, to_dict
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.split import split_by_ids
from galaxy_triton.data.store import open_store
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import choose
from galaxy_triton.predict.predictor import Answers
from galaxy_triton.system.console import Display
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.signals import Stop
from galaxy_triton.system.whole_files import whole_file
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.session import Session

VIEWS = sorted({row.views for table in TABLES.values() for row in table.rows.values()})


@dataclass(frozen=True)
class Job:
    """One training. store: packed as the row needs it. validation: CSV of ids. file: the result to write."""

    row: Row
    config: Config
    store: Path
    validation: Path
    file: Path


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    chosen = {name: row for name, row in TABLES[options.table].rows.items() if name in [BASE, *options.rows]}
    jobs = {(name, seed): _job(options, row, seed) for seed in options.seeds for name, row in chosen.items()}
    # rows that differ only in the views of validation share a training
    run_all(train, {job.file: job for job in jobs.values()}, options.jobs)
    files = {name: [jobs[name, seed].file for seed in options.seeds] for name in chosen}
    _write(options, table(files, chosen))


def _write(options: argparse.Namespace, rows: dict[str, dict[str, object]]) -> None:
    result = {
        "command": command(options.table),
        "made_with": made_with(torch.device("cpu")),
        "start": TABLES[options.table].start,
        "rows": rows,
    }
    write_result(options.out, result)
    with whole_file(options.out.with_suffix(".md"), replace=True) as file:
        file.write_text(page(result))
    print(page(result))


def command(name: str) -> str:
    """The command that measures all rows of a table."""
    words = "" if name == "choices" else f" --table {name}"
    return f"python -m bench.accuracy.axes DATA --work FOLDER --out FILE{words}"


def table(files: dict[str, list[Path]], rows: dict[str, Row]) -> dict[str, dict[str, object]]:
    """Each row's RMSE over its seeds, and by how much it is lower than the first row's with the same seeds."""
    kept = {name: [np.load(file) for file in found] for name, found in files.items()}
    squares = {name: np.stack([each[f"views_{rows[name].views}"] for each in found]) for name, found in kept.items()}
    return {
        name: {
            "axis": rows[name].axis,
            "changes": rows[name].settings | {"views": rows[name].views},
            "seeds": len(own),
            "rmse": float(np.sqrt(own.mean())),
            "by_seed": np.sqrt(own.mean(axis=1)).tolist(),
            "lower_by": lower_by(own, squares[BASE]) if name != BASE else None,
            "cpu_seconds": float(np.mean([each["cpu_seconds"] for each in kept[name]])),
            "made_by": sorted({str(each["made_by"]) for each in kept[name]}),
        }
        for name, own in squares.items()
    }


def lower_by(own: Squares, start: Squares) -> list[float]:
    """By how much the RMSE of `own` is lower: [difference, low, high]."""
    return paired(lambda own, start: float(np.sqrt(start.mean()) - np.sqrt(own.mean())), own, start)


def train(job: Job) -> None:
    """Train, predict the validation galaxies, and write their squared errors for each number of views."""
    torch.set_num_threads(1)
    store, display = open_store(job.store), Display(quiet=True)
    backend, split = choose(job.config), split_by_ids(store, read_ids(job.validation))
    galaxies = load(store, backend.device, lambda done: None)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        options = TrainOptions(job.store, run=folder)
        session = Session(options, job.config, backend, folder, store, galaxies, display)
        trainer = Trainer(session, split, folder)
        if job.row.tint:
            trainer.learner.maker = tinted(trainer.learner.maker)
        before = os.times()
        trainer.fit(display, Stop())
        after = os.times()
    rows = torch.from_numpy(split.validation)
    predictor, people = trainer.learner.predictor(), galaxies.answers[rows].numpy()
    squares = {
        f"views_{views}": _squares(predictor.answer(galaxies, rows, views, 256, lambda done: None), people)
        for views in VIEWS
    }
    with whole_file(job.file, replace=True) as file, file.open("wb") as handle:
        spent = after.user + after.system - before.user - before.system
        np.savez(handle, **squares, cpu_seconds=spent, made_by=provenance()["release"])


def _squares(answers: Answers, people: Answers) -> NDArray[np.float64]:
    return np.square(answers.astype(np.float64) - people).mean(axis=1)


def _job(options: argparse.Namespace, row: Row, seed: int) -> Job:
    start = TABLES[options.table].start
    config = override(RECIPES["best"], start | row.settings | {"run.seed": seed, "run.device": "cpu"})
    store = packed(options.data, options.work, config.preprocess)
    file = file_of(options.work, [to_dict(config), row.tint])
    return Job(row, config, store, options.data / options.validation, file)


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("--table", default="choices", choices=list(TABLES))
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="default: all of the table")
    options = parser.parse_args()
    known = list(TABLES[options.table].rows)
    options.rows = options.rows or known
    if unknown := set(options.rows) - set(known):
        parser.error(f"Expected rows of {', '.join(known)}, got {', '.join(unknown)} (--rows): choose of these")
    return options


if __name__ == "__main__":
    main()
