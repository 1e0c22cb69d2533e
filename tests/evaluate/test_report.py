"""The report of a run: its numbers and pictures against ones computed here."""

import base64
import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton.evaluate import figures, report
from galaxy_triton.evaluate.page import verdict
from galaxy_triton.evaluate.report import Report, ReportOptions, write_report
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train
from tests.support.parsed_page import Page

pytestmark = pytest.mark.usefixtures("real_figures")

VIEWS, BATCH = 2, 5
OF_TRAINING = {"curves", "augmentation"}
WITH_SCORE = OF_TRAINING | {"questions", "classes", "reliability", "calibration", "best", "middle", "worst"}


class Reported(NamedTuple):
    """A report of the tiny run, and the values it should show: [n, 37] by validation galaxy, float32."""

    folder: Path
    report: Report
    page: Page
    ids: list[int]
    predicted: np.ndarray[Any, np.dtype[np.float32]]
    people: np.ndarray[Any, np.dtype[np.float32]]
    truth: np.ndarray[Any, np.dtype[np.float32]]
    mean: np.ndarray[Any, np.dtype[np.float64]]  # [n, 37], all rows alike


@pytest.fixture(scope="module")
def copied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """copied(): a run of one's own, to damage."""
    return lambda: shutil.copytree(run, tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def reported(
    copied: Callable[[], Path], sky: Any, tmp_path_factory: pytest.TempPathFactory, succeed: Any, real_figures: None
) -> Reported:
    """Its predictions are those of `predict`, its labels those of the sky."""
    folder, scratch = copied(), tmp_path_factory.mktemp("truth")
    truth = np.clip(sky.answers + np.random.default_rng(5).normal(0, 0.02, sky.answers.shape), 0, 1)
    write_answers(scratch / "truth.csv", [(sky.ids[: len(truth)], truth)])
    source = folder / run_folder.SOURCE
    source.write_text(json.dumps({**json.loads(source.read_text()), "truth": str(scratch / "truth.csv")}))
    made = write_report(folder, ReportOptions(views=VIEWS, batch_size=BATCH), Display(quiet=True))
    succeed("predict", folder, sky.store, "--out", scratch / "out.csv", "--views", VIEWS)
    by_id = dict(zip(*read_answers(scratch / "out.csv"), strict=True))
    parts = run_folder.read_split(folder)
    ids = parts.validation.tolist()
    rows, train = (np.searchsorted(sky.ids, getattr(parts, part)) for part in ("validation", "train"))
    assert made.findings.predictions == pytest.approx(np.array([by_id[i] for i in ids]), abs=1e-6)
    assert made.findings.labels == pytest.approx(sky.answers[rows], abs=1e-6)
    mean = np.broadcast_to(sky.answers[train].mean(axis=0), (len(ids), 37))
    page = Page(made.page.read_text(encoding="utf-8"))
    known = read_answers(scratch / "truth.csv")[1][rows]
    return Reported(folder, made, page, ids, made.findings.predictions, made.findings.labels, known, mean)


def errors_of(reported: Reported) -> dict[str, float]:
    """The RMSE of each galaxy by its name."""
    return {str(i): rmse(*each) for i, *each in zip(reported.ids, reported.predicted, reported.people, strict=True)}


def plots(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in (folder / report.PLOTS).iterdir()}


def test_the_page_begins_with_the_score(reported: Reported) -> None:
    """Then the mean answer and the noise floor, before the facts about the run."""
    scores = [rmse(values, reported.people) for values in (reported.predicted, reported.mean, reported.truth)]
    found = reported.report.findings
    assert (found.score.rmse, found.constants.mean.rmse, found.noise_floor) == pytest.approx(scores, abs=1e-6)
    texts, low, high = reported.page.texts, *found.score.interval
    ours, mean, floor = (f"{score:.4f}" for score in (found.score.rmse, found.constants.mean.rmse, found.noise_floor))
    assert texts.index(ours) < texts.index(mean) < texts.index(floor) < texts.index("Recipe")
    assert any(f"{low:.4f} to {high:.4f}" in text and f" {len(reported.ids)} " in text for text in texts)
    zeros, ones = (rmse(np.full_like(reported.people, value), reported.people) for value in (0, 1))
    assert any(f"{zeros:.4f}" in text and f"{ones:.4f}" in text for text in texts)
    assert verdict(found.score.rmse, found.constants.mean.rmse, found.noise_floor) in texts


@pytest.mark.parametrize(
    ("scores", "percent"),
    [
        ((0.1, 0.2, None), ["50", "below"]),
        ((0.1, 0.2, 0.0), ["50", "below", "50"]),
        ((0.05, 0.2, 0.04), ["75", "below", "94"]),
        ((0.3, 0.2, 0.0), ["50", "above"]),
        ((0.1, 0.2, 0.3), ["50", "below"]),
        ((0.1, 0.0, None), []),
    ],
)
def test_the_verdict_sets_a_score_between_the_mean_answer_and_the_noise_floor(scores: Any, percent: list[str]) -> None:
    assert re.findall(r"\d+(?=\xa0%)|below|above", verdict(*scores)) == percent


def test_the_page_names_the_run(reported: Reported, tiny: dict[str, Any]) -> None:
    texts = reported.page.texts
    facts = {text: texts[place + 1] for place, text in enumerate(texts[:-1])}
    weights = load_predictor(reported.folder, "last", "cpu").network.state_dict()
    count = sum(value.numel() for name, value in weights.items() if "running" not in name and "batches" not in name)
    assert facts["Network"] == f"galaxy-vgg, {count:,} parameters"
    assert facts["Epochs"] == f"{tiny['run.epochs']} of {tiny['run.epochs']}"
    assert re.findall(r"\d+", facts["Galaxies"]) == ["33", str(len(reported.ids))]
    assert facts["Device"] == "cpu fp32"
    assert facts["Made with"].endswith(f"torch {torch.__version__}")


def test_every_question_has_its_numbers(reported: Reported, succeed: Any) -> None:
    """Those of `evaluate --json` on the same galaxies."""
    file = reported.folder / "found.json"
    succeed("evaluate", reported.folder, "--views", VIEWS, "--batch-size", BATCH, "--json", file)
    values = json.loads(file.read_text())
    _, overall, *rows = reported.page.tables["Questions"]
    assert overall[:3] == ["all", f"{values['rmse'][0]:.3f}", f"{values['mean_answer'][0]:.3f}"]
    of_bars, of_panels = (reported.page.words(title) for title in ("RMSE by question", "Reliability by question"))
    for row, (name, found), span in zip(rows, values["questions"].items(), SPANS, strict=True):
        numbers = (found["rmse"][0], *(found[key] for key in ("mean_answer", "ece", "slope", "tree_mean")))
        assert row == [name.replace("_", " "), *(f"{n:.3f}" for n in (*numbers, found["tree_largest"]))]
        assert found["rmse"][0] == pytest.approx(rmse(reported.predicted[:, span], reported.people[:, span]))
        assert found["mean_answer"] == pytest.approx(rmse(reported.mean[:, span], reported.people[:, span]))
        assert f"{row[0]} {row[1]} (mean answer {row[2]})" in of_bars
        assert f"{row[0]} {row[3]}" in of_panels
    off = np.abs(reported.predicted[:, :3].astype(np.float64).sum(axis=1) - 1)
    assert rows[0][5:] == [f"{off.mean():.3f}", f"{off.max():.3f}"]
    changes = [f"{value[0]:.4f}" for value in values["consistency"]["rms_by_views"].values()]
    assert set(changes) <= set(reported.page.texts)
    turned = ", ".join(f"{pose['degrees']:.4g}" for pose in values["consistency"]["poses"])
    assert any(turned in text for text in reported.page.texts)


def test_the_worst_are_named(reported: Reported) -> None:
    errors = errors_of(reported)
    rows = reported.page.tables["Highest RMSE"][1:]
    assert [row[:2] for row in rows] == [
        [name, f"{error:.3f}"] for name, error in sorted(errors.items(), key=lambda pair: -pair[1])
    ]
    place = reported.ids.index(int(rows[0][0]))
    by_question = [rmse(reported.predicted[place, span], reported.people[place, span]) for span in SPANS]
    worst = int(np.argmax(by_question))
    assert rows[0][2:] == [QUESTIONS[worst].name.replace("_", " "), f"{by_question[worst]:.3f}"]


def test_a_report_beside_other_predictions(reported: Reported, copied: Callable[[], Path], tmp_path: Path) -> None:
    """Beside the labels, whose RMSE is 0: the difference is minus the score, and the table's name stays text."""
    against = tmp_path / "<b>.csv"
    write_answers(against, [(reported.ids, reported.people)])
    options = ReportOptions(views=VIEWS, batch_size=BATCH, consistency=0, against=against)
    made = write_report(copied(), options, Display(quiet=True))
    page = Page(made.page.read_text(encoding="utf-8"))
    score, smooth = made.findings.score, made.findings.score.questions["smooth"].value
    rows = next(rows for heading, rows in page.tables.items() if str(against) in heading)
    low, high = (f"−{end:.4f}" for end in score.interval)  # noqa: RUF001
    assert rows[1] == ["all", f"−{score.rmse:.4f}", f"{high} to {low}"]  # noqa: RUF001
    assert rows[2][:2] == ["smooth", f"−{smooth:.4f}"]  # noqa: RUF001
    assert any(f"{score.rmse:.4f} higher than that of {against}" in text for text in page.texts)
    assert "Rotation consistency" in reported.page.texts
    assert "Rotation consistency" not in page.texts
    assert "b" not in {tag for tag, _ in page.tags}


def test_figures_have_words(reported: Reported) -> None:
    """For the mean fractions, the curves and the examples."""
    predicted, people = reported.predicted.mean(axis=0), reported.people.mean(axis=0)
    furthest = int(np.abs(predicted - people).argmax())
    pair = f"{figures.answer_name(furthest)} {predicted[furthest]:.2f} predicted, {people[furthest]:.2f} by people"
    assert pair in reported.page.words("Mean fraction of each answer")
    with (reported.folder / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    words = reported.page.words("RMSE by epoch")
    training = [math.sqrt(float(row["train_loss"])) for row in rows]
    for values in (training, [float(row["validation_rmse"]) for row in rows]):
        assert f"{values[0]:.4f} in epoch 1, {values[-1]:.4f} in epoch {len(rows)}, {min(values):.4f} at" in words
    assert f"{rmse(reported.truth, reported.people):.4f}" in words
    errors = errors_of(reported)
    order = sorted(errors, key=lambda name: errors[name])
    for title, names in (("Best", order[:4]), ("Median", order[4:7]), ("Worst", order[:-5:-1])):
        words = reported.page.words(title)
        places = [words.index(f"{name}, RMSE {errors[name]:.3f}: ") for name in names]
        assert places == sorted(places)
        assert words.count("RMSE") == len(names)


def test_an_example_shows_the_first_question_and_the_greatest_differences(reported: Reported) -> None:
    place = int(np.square(reported.predicted - reported.people).mean(axis=1).argmin())
    predicted, people = reported.predicted[place], reported.people[place]
    others = sorted(range(3, 37), key=lambda column: -abs(predicted - people)[column])[:2]
    words = reported.page.words("Best")
    line = words[words.index(f"{reported.ids[place]}, RMSE") :].split(". ")[0]
    for column in (0, 1, 2, *others):
        pair = f"{figures.answer_name(column)} {predicted[column]:.2f} predicted, {people[column]:.2f} by people"
        assert pair in line


def test_the_page_needs_nothing_else_and_runs_nothing(reported: Reported) -> None:
    text = reported.report.page.read_text(encoding="utf-8")
    for reference in ("http://", "https://", "url(", "@import"):
        assert reference not in text
    tags = reported.page.tags
    assert {"script", "link", "iframe", "object", "embed", "base", "form"}.isdisjoint(tag for tag, _ in tags)
    for tag, attributes in tags:
        assert not any(name.startswith("on") or name in ("href", "srcset", "style") for name in attributes), tag
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy
    assert ("html", {"lang": "en"}) in tags


def test_the_page_holds_the_pngs_of_plots(reported: Reported) -> None:
    files = plots(reported.folder)
    images = [attributes for tag, attributes in reported.page.tags if tag == "img"]
    assert set(files) == WITH_SCORE
    assert {base64.b64decode(str(image["src"]).partition(",")[2]) for image in images} == set(files.values())
    for image in images:
        size = Image.open(io.BytesIO(base64.b64decode(str(image["src"]).partition(",")[2]))).size
        assert size == (int(str(image["width"])), int(str(image["height"])))
        assert len(str(image["alt"])) > 40


def test_a_new_report_replaces_the_old_and_a_fault_does_not(copied: Callable[[], Path]) -> None:
    folder = copied()
    (folder / report.PLOTS / "stale.png").write_bytes(b"")
    (folder / report.PAGE).write_text("old")
    options = ReportOptions(views=1, consistency=0)
    write_report(folder, options, Display(quiet=True))
    before = (folder / report.PAGE).read_bytes(), plots(folder)
    assert set(before[1]) == WITH_SCORE
    assert before[0].startswith(b"<!DOCTYPE html>")
    (folder / "metrics.csv").write_text("")
    with pytest.raises(DataFault):
        write_report(folder, options, Display(quiet=True))
    assert before == ((folder / report.PAGE).read_bytes(), plots(folder))


def test_a_checkpoint_chosen_on_these_galaxies_is_named(
    copied: Callable[[], Path], reported: Reported, run: Path
) -> None:
    """That of the run beside it too."""
    options = ReportOptions(which="best", views=1, consistency=0, against=run)
    page = Page(write_report(copied(), options, Display(quiet=True)).page.read_text(encoding="utf-8"))
    chosen = [text for text in page.texts if "chosen" in text]
    assert [str(run) in text for text in chosen] == [True, False]
    assert not any("chosen" in text for text in reported.page.texts)


def test_a_run_without_validation_has_no_score(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> None:
    settings = {**tiny, "run.validation": 0, "run.epochs": 1}
    train(TrainOptions(sky.store, settings=settings, run=tmp_path / "run"), Display(quiet=True))
    made = write_report(tmp_path / "run", ReportOptions(), Display(quiet=True))
    assert made.findings is None
    assert any("no score" in text for text in Page(made.page.read_text(encoding="utf-8")).texts)
    assert set(plots(tmp_path / "run")) == OF_TRAINING
