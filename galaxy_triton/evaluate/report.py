"""The report of a run: its score, and figures of what it learned, as PNGs and as one page that needs nothing else."""

import io
import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies, answers_by_row
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows, open_store
from galaxy_triton.evaluate import calibration, figures, reliability_plot
from galaxy_triton.evaluate.compare import Names
from galaxy_triton.evaluate.evaluate import galaxies_of
from galaxy_triton.evaluate.figures import Example, Picture
from galaxy_triton.evaluate.findings import Findings, Inquiry, find
from galaxy_triton.evaluate.page import Content, page_of
from galaxy_triton.evaluate.scores import Score
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.model.views import fixed_affines
from galaxy_triton.predict.predictor import Answers, Predictor, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.untrusted_files import read_file
from galaxy_triton.system.whole_files import whole_file, whole_folder

PAGE, PLOTS = "report.html", "plots"
AUGMENTED = 6  # galaxies whose views are shown


@dataclass(frozen=True)
class Asked(Inquiry):
    """What a report is asked for. store: the store the run was trained on; None: where it lay then."""

    store: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A run with everything loaded that its report draws on. Rows are those of its store.

    names: of each galaxy, as a user calls it. truth: the true probabilities of a simulated sky, float32 [N, 37].
    chosen_on: whether the galaxies held out chose the checkpoint.
    """

    folder: Path
    predictor: Predictor
    galaxies: Galaxies  # on the answerer's device, but for pixels that the host keeps
    split: Split
    names: Names
    truth: Answers | None = None
    chosen_on: bool = False


@dataclass(frozen=True)
class Report:
    """What was drawn and scored.

    score: of the galaxies held out; None when none were. mean_answer: RMSE of the training galaxies' mean answer on
    them; nan when none were. noise_floor: RMSE of the true probabilities on them, of simulated skies only. answers:
    float32 [n, 37], the network's on them.
    """

    page: Path
    score: Score | None
    mean_answer: float
    noise_floor: float | None
    answers: Answers | None


def write_report(run: Path, asked: Asked, display: Display) -> Report:
    """Draw the report of a run from its folder and the store it was trained on.

    Raises:
        DataFault: no run, checkpoint or store there, another store than the run's, or a damaged file of the run.
        UsageFault: no such device here, or several processes.
    """
    require_alone("report")
    predictor = load_predictor(run, asked.which, asked.device)
    source = run_folder.read_source(run)
    store = open_store(asked.store) if asked.store else run_folder.open_source(run)
    run_folder.check_source(run, store)
    split = _split(run, store)
    galaxies = galaxies_of(store, predictor, asked.batch_size, display)
    truth = None if source.truth is None else answers_by_row(source.truth, store)
    subject = Subject(run, predictor, galaxies, split, names_of(store), truth, chosen_on=asked.which == run_folder.BEST)
    return report_of(subject, asked, display)


def report_of(subject: Subject, asked: Inquiry, display: Display) -> Report:
    """Score the galaxies held out and draw report.html and plots/ in the run's folder, in place of earlier ones.

    Raises:
        DataFault: metrics.csv or started.json is missing or damaged, the truth or the answers to compare with do not
            cover the galaxies held out, or the folder cannot be written.
    """
    metrics = read_metrics(subject.folder / run_folder.METRICS)
    findings = _find(subject, asked, display) if len(subject.split.validation) else None
    with figures.style():
        pictures = _draw(subject, metrics, findings)
    page = page_of(_content(subject, metrics, findings, pictures))
    with whole_folder(subject.folder / PLOTS, replace=True) as folder:
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture.png)
    with whole_file(subject.folder / PAGE) as temporary:
        # A file name may hold what UTF-8 cannot.
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
    if findings is None:
        return Report(subject.folder / PAGE, None, math.nan, None, None)
    scores = (findings.score, findings.constants.mean.rmse, findings.noise_floor)
    return Report(subject.folder / PAGE, *scores, findings.predicted)


def read_metrics(file: Path) -> pd.DataFrame:
    """metrics.csv: a column for each field of EpochRow, a row for each epoch from the first.

    Raises:
        DataFault: missing, empty, cut short, or not as written.
    """
    do = "train for an epoch at least, or use a whole run"
    try:
        content = read_file(file)
        metrics = pd.read_csv(io.BytesIO(content), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise DataFault(expected("the run's metrics.csv", reason(error).strip(), file, do)) from error
    if (fault := _metrics_fault(metrics)) is not None or not content.endswith(b"\n"):
        raise DataFault(expected("the run's metrics.csv", fault or "one that is cut short", file, do))
    return metrics


def _split(run: Path, store: Store) -> Split:
    ids = run_folder.read_split(run)
    split = Split(*(np.sort(rows_of(store.ids, part)) for part in (ids.train, ids.validation)))
    if not len(split.train) or not np.isin(np.concatenate(split), labelled_rows(store)).all():
        got, do = "others, or none trained on", "use a whole run"
        raise DataFault(expected("labelled galaxies of the store", got, run / run_folder.SPLIT, do))
    return split


def _metrics_fault(metrics: pd.DataFrame) -> str | None:
    names = [field.name for field in fields(run_folder.EpochRow)]
    if list(metrics.columns) != names:
        return f"one with the columns {', '.join(map(str, metrics.columns))}"
    if len(metrics) == 0 or list(metrics["epoch"]) != list(range(1, len(metrics) + 1)):
        return f"one whose {len(metrics)} rows are not the epochs from the first"
    # Only what was held out may be unknown.
    known = metrics.drop(columns=["validation_loss", "validation_rmse"]).to_numpy()
    return None if ((known >= 0) & (known < 1e15)).all() else "one with values that no epoch has"


def _find(subject: Subject, asked: Inquiry, display: Display) -> Findings:
    if subject.truth is not None and np.isnan(subject.truth[subject.split.validation]).any():
        want, where = "true probabilities of every galaxy held out", subject.folder / run_folder.SOURCE
        raise DataFault(expected(want, "none for some", where, "name the table of this sky there"))
    return find(subject.predictor, subject.galaxies, subject.split, subject.names, subject.truth, asked, display)


def _draw(subject: Subject, metrics: pd.DataFrame, findings: Findings | None) -> dict[str, Picture]:
    """The figures by the names of their files."""
    references = {} if findings is None else {"mean answer": findings.constants.mean.rmse}
    if findings is not None and findings.noise_floor is not None:
        references["noise floor"] = findings.noise_floor
    pictures = {"curves": figures.curves(metrics, references)}
    pictures["augmentation"] = figures.augmentation(_augmented(subject, len(metrics)))
    if findings is not None:
        predicted, people = findings.predicted, findings.people
        pictures["questions"] = figures.questions(findings.score, findings.constants.mean)
        pictures["classes"] = figures.classes(predicted.mean(axis=0), people.mean(axis=0))
        pictures["reliability"] = reliability_plot.reliability(calibration.bins_of(predicted, people))
        by_question = calibration.by_question(calibration.bins_of, predicted, people)
        ece = {row.name: row.ece for row in findings.by_question()}
        pictures["calibration"] = reliability_plot.by_question(by_question, ece)
        pictures |= {name: figures.examples(chosen) for name, chosen in _examples(subject, findings).items() if chosen}
    return pictures


def _examples(subject: Subject, findings: Findings) -> dict[str, list[Example]]:
    return {kind: _chosen(subject, findings, places) for kind, places in findings.examples().items()}


def _chosen(subject: Subject, findings: Findings, places: NDArray[np.int64]) -> list[Example]:
    rows = subject.split.validation[places]
    views = _image(_stored(subject, torch.from_numpy(rows).to(subject.galaxies.ids.device)))
    names = [findings.names[place] for place in places]
    answers = (findings.predicted[places], findings.people[places])
    return [Example(*each) for each in zip(names, views, *answers, strict=True)]


def _augmented(subject: Subject, epochs: int) -> NDArray[np.float32]:
    """Galaxies trained on, from the first to the last: as stored, then the views of the run's first epochs."""
    train, maker = subject.split.train, subject.predictor.maker
    places = np.linspace(0, len(train) - 1, min(AUGMENTED, len(train))).round().astype(np.int64)
    rows = torch.from_numpy(train[places]).to(subject.galaxies.ids.device)
    seed = torch.tensor(subject.predictor.config.run.seed, device=rows.device)
    columns = [_stored(subject, rows)]
    for epoch in range(min(figures.EPOCHS, epochs)):
        drawn, buffer = torch.tensor(epoch, device=rows.device), maker.empty(len(rows), rows.device)
        columns.append(maker.random(batch_of(subject.galaxies, rows), seed, drawn, buffer))
    return _image(torch.stack(columns, dim=1))


def _stored(subject: Subject, rows: Tensor) -> Tensor:
    """The centres of stored images, as large as a view: [n, 3, S, S]."""
    maker = subject.predictor.maker
    centred = fixed_affines(1, subject.galaxies.pixels.shape[1], maker.augmentation.size, rows.device)[0]
    return maker.fixed(batch_of(subject.galaxies, rows), centred, maker.empty(len(rows), rows.device))


def _image(views: Tensor) -> NDArray[np.float32]:
    """[..., 3, S, S] -> [..., S, S, 3]"""
    image: NDArray[np.float32] = views.movedim(-3, -1).float().cpu().numpy()
    return image


def _content(
    subject: Subject, metrics: pd.DataFrame, findings: Findings | None, pictures: dict[str, Picture]
) -> Content:
    ran_on = run_folder.last_start(subject.folder)
    facts = _facts(subject, metrics, ran_on)
    return Content(subject.folder.resolve().name, findings, subject.chosen_on, facts, ran_on, pictures)


def _facts(subject: Subject, metrics: pd.DataFrame, ran_on: dict[str, str]) -> dict[str, str]:
    config, split = subject.predictor.config, subject.split
    parameters = sum(weights.numel() for weights in subject.predictor.network.parameters())
    before = run_folder.read_seen(subject.folder)
    known = int(np.isin(subject.galaxies.ids[split.validation].cpu().numpy(), before).sum())
    return {
        "Recipe": config.recipe + ", fine-tuned" * bool(len(before)),
        "Network": f"{config.network.name}, {parameters:,} parameters",
        "Galaxies": f"{len(split.train):,} trained on, {len(split.validation):,} held out"
        + f", {known:,} of them known to the weights that it began with" * bool(known),
        "Epochs": f"{len(metrics)} of {config.run.epochs}",
        "Time": _duration(metrics["seconds"].sum()),
        "Device": " ".join(ran_on[name].split()[0] for name in ("device", "precision")),
        "Made with": f"{ran_on['release'].split(',')[0]}, torch {ran_on['torch'].split(',')[0]}",
    }


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
