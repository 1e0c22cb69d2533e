"""The report of a run: its scores, and figures of what it learned, as PNGs and as one HTML page."""

import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import answers_by_row
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows, open_store
from galaxy_triton.evaluate import figures
from galaxy_triton.evaluate.evaluate import ScoreOptions, score_run
from galaxy_triton.evaluate.figures import Picture
from galaxy_triton.evaluate.findings import Findings
from galaxy_triton.evaluate.loaded_run import LoadedRun, load_galaxies
from galaxy_triton.evaluate.page import page_of
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.model.views import fixed_affines
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display, duration
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.untrusted_files import read_file
from galaxy_triton.system.whole_files import whole_file, whole_folder

PAGE, PLOTS = "report.html", "plots"
AUGMENTED = 6  # galaxies whose views are shown


@dataclass(frozen=True)
class ReportOptions(ScoreOptions):
    """Options of `report`.

    store: the store that the run was trained on; None: where it was then.
    """

    store: Path | None = None


def write_report(folder: Path, options: ReportOptions, display: Display) -> Findings | None:
    """As `report_of`, for a run's folder and the store that it was trained on.

    Raises:
        DataFault: no run, checkpoint or store there, another store than the run's, or a damaged file of the run.
        UsageFault: no such device here, or several processes.
    """
    require_alone("report")
    predictor = load_predictor(folder, options.which, options.device)
    source = run_folder.read_source(folder)
    store = open_store(options.store) if options.store else run_folder.open_source(folder)
    run_folder.check_source(folder, store)
    split = _split(folder, store)
    galaxies = load_galaxies(store, predictor, options.batch_size, display)
    truth = None if source.truth is None else answers_by_row(source.truth, store)
    run = LoadedRun(folder, predictor, galaxies, split, names_of(store), truth)
    return report_of(run, options, display)


def report_of(run: LoadedRun, options: ReportOptions, display: Display) -> Findings | None:
    """Score the validation galaxies and write report.html and plots/ into the run's folder, in place of earlier ones.

    Returns:
        Findings about the validation galaxies; None without any.

    Raises:
        DataFault: metrics.csv or started.json is missing or damaged, the truth or the predictions to compare with lack
            some validation galaxies, or the folder cannot be written.
    """
    metrics = read_metrics(run.folder / run_folder.METRICS)
    ran_on = run_folder.last_start(run.folder)
    if run.truth is not None and np.isnan(run.truth[run.split.validation]).any():
        want, where = "true probabilities of every validation galaxy", run.folder / run_folder.SOURCE
        raise DataFault(expected(want, "none for some", where, "name the table of this sky there"))
    findings = score_run(run, options, display) if len(run.split.validation) else None
    pictures = _draw(run, metrics, findings)
    name, facts, chosen_on = run.folder.resolve().name, _facts(run, metrics, ran_on), options.which == run_folder.BEST
    page = page_of(name, findings, pictures, chosen_on=chosen_on, facts=facts, ran_on=ran_on)
    with whole_folder(run.folder / PLOTS, replace=True) as folder:
        for figure, picture in pictures.items():
            (folder / f"{figure}.png").write_bytes(picture.png)
    with whole_file(run.folder / PAGE, replace=True) as temporary:
        # A file name may hold what UTF-8 cannot.
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
    return findings


def read_metrics(file: Path) -> pd.DataFrame:
    """Read metrics.csv: a column for each field of EpochRow, a row for each epoch from the first.

    Raises:
        DataFault: missing, empty, cut short, or not as written.
    """
    do = "train for an epoch at least, or use a whole run"
    try:
        content = read_file(file)
        metrics = pd.read_csv(io.BytesIO(content), dtype=np.float64)
        if list(metrics.columns) != [field.name for field in fields(run_folder.EpochRow)]:
            raise ValueError(f"one with the columns {', '.join(map(str, metrics.columns))}")
        # Only the validation may be unknown.
        known = metrics.drop(columns=["validation_loss", "validation_rmse"])
        epochs = list(range(1, len(metrics) + 1))
        if not epochs or list(metrics["epoch"]) != epochs or not ((known >= 0) & (known < 1e15)).all(axis=None):
            raise ValueError(f"one whose {len(metrics)} rows are not the epochs from the first")
        if not content.endswith(b"\n"):
            raise ValueError("one that is cut short")
    except (OSError, ValueError) as error:
        raise DataFault(expected("the run's metrics.csv", reason(error).strip(), file, do)) from error
    return metrics


def _split(folder: Path, store: Store) -> Split:
    ids = run_folder.read_split(folder)
    split = Split(*(np.sort(rows_of(store.ids, part)) for part in (ids.train, ids.validation)))
    if not len(split.train) or not np.isin(np.concatenate(split), labelled_rows(store)).all():
        got, do = "others, or no training galaxies", "use a whole run"
        raise DataFault(expected("labelled galaxies of the store", got, folder / run_folder.SPLIT, do))
    return split


def _draw(run: LoadedRun, metrics: pd.DataFrame, findings: Findings | None) -> dict[str, Picture]:
    """The figures by the names of their files."""
    known = (
        {} if findings is None else {"mean answer": findings.constants.mean.rmse, "noise floor": findings.noise_floor}
    )
    references = {name: value for name, value in known.items() if value is not None}
    with figures.style():
        pictures = {"curves": figures.curves(metrics, references)}
        pictures["augmentation"] = figures.augmentation(_augmented(run, len(metrics)))
        return pictures if findings is None else pictures | _draw_findings(run, findings)


def _draw_findings(run: LoadedRun, findings: Findings) -> dict[str, Picture]:
    predictions, labels = findings.predictions, findings.labels
    ece = {row.name: row.ece for row in findings.by_question()}
    pictures = {
        "questions": figures.questions(findings.score, findings.constants.mean),
        "classes": figures.classes(predictions.mean(axis=0), labels.mean(axis=0)),
        "reliability": figures.reliability(predictions, labels),
        "calibration": figures.calibration(predictions, labels, ece),
    }
    for kind, places in findings.examples().items():
        if len(places):
            names = [findings.names[place] for place in places]
            views = _image(_stored(run, run.on_device(run.split.validation[places])))
            pictures[kind] = figures.examples(names, views, predictions[places], labels[places])
    return pictures


def _augmented(run: LoadedRun, epochs: int) -> NDArray[np.float32]:
    """Training galaxies, from the first to the last: as stored, then the views of the run's first epochs."""
    train, predictor = run.split.train, run.predictor
    places = np.linspace(0, len(train) - 1, min(AUGMENTED, len(train))).round().astype(np.int64)
    rows = run.on_device(train[places])
    seed = torch.tensor(predictor.config.run.seed, device=rows.device)
    columns = [_stored(run, rows)]
    for epoch in range(min(figures.EPOCHS, epochs)):
        drawn, buffer = torch.tensor(epoch, device=rows.device), predictor.maker.empty(len(rows), rows.device)
        columns.append(predictor.maker.random(batch_of(run.galaxies, rows), seed, drawn, buffer))
    return _image(torch.stack(columns, dim=1))


def _stored(run: LoadedRun, rows: Tensor) -> Tensor:
    """The centres of stored images, as large as a view: [n, 3, S, S]."""
    maker = run.predictor.maker
    centred = fixed_affines(1, run.galaxies.pixels.shape[1], maker.augmentation.size, rows.device)[0]
    return maker.fixed(batch_of(run.galaxies, rows), centred, maker.empty(len(rows), rows.device))


def _image(views: Tensor) -> NDArray[np.float32]:
    """[..., 3, S, S] -> [..., S, S, 3]"""
    image: NDArray[np.float32] = views.movedim(-3, -1).float().cpu().numpy()
    return image


def _facts(run: LoadedRun, metrics: pd.DataFrame, ran_on: dict[str, str]) -> dict[str, str]:
    config, split = run.predictor.config, run.split
    parameters = sum(weights.numel() for weights in run.predictor.network.parameters())
    before = run_folder.read_seen(run.folder)
    known = int(np.isin(run.galaxies.ids[split.validation].cpu().numpy(), list(before)).sum())
    return {
        "Recipe": config.recipe + ", fine-tuned" * bool(len(before)),
        "Network": f"{config.network.name}, {parameters:,} parameters",
        "Galaxies": f"{len(split.train):,} for training, {len(split.validation):,} for validation"
        + f", {known:,} of which the initial weights were trained on" * bool(known),
        "Epochs": f"{len(metrics)} of {config.run.epochs}",
        "Time": duration(metrics["seconds"].sum()),
        "Device": " ".join(ran_on[name].split()[0] for name in ("device", "precision")),
        "Made with": f"{ran_on['release'].split(',')[0]}, torch {ran_on['torch'].split(',')[0]}",
    }
