"""The report of a run: its numbers and pictures against ones computed here."""

import base64
import csv
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from galaxy_triton.evaluate import figures, report
from galaxy_triton.evaluate.report import Asked, Report, write_report
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train
from tests.support.parsed_page import Page

pytestmark = pytest.mark.usefixtures("real_figures")

VIEWS = 2
LEARNED = {"curves", "questions", "classes", "reliability", "augmentation", "calibration"}
WITH_SCORE = LEARNED | {"best", "middle", "worst"}


class Reported(NamedTuple):
    """A report of the tiny run, and what it should say: answers [n, 37] by galaxy held out, float64."""

    folder: Path
    report: Report
    page: Page
    ids: list[int]
    predicted: np.ndarray[Any, np.dtype[np.float64]]
    people: np.ndarray[Any, np.dtype[np.float64]]
    truth: np.ndarray[Any, np.dtype[np.float64]]
    mean: np.ndarray[Any, np.dtype[np.float64]]  # [37]


@pytest.fixture(scope="module")
def copied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """copied(): a run of one's own, to damage."""
    return lambda: shutil.copytree(run, tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def reported(copied: Callable[[], Path], sky: Any, tmp_path_factory: pytest.TempPathFactory, succeed: Any) -> Reported:
    folder, scratch = copied(), tmp_path_factory.mktemp("truth")
    truth = np.clip(sky.answers + np.random.default_rng(5).normal(0, 0.02, sky.answers.shape), 0, 1)
    write_answers(scratch / "truth.csv", [(sky.ids[: len(truth)], truth)])
    name_truth(folder, scratch / "truth.csv")
    made = write_report(folder, Asked(views=VIEWS, batch_size=5), quiet())
    succeed("predict", folder, sky.store, "--out", scratch / "out.csv", "--views", VIEWS)
    by_id = dict(zip(*read_answers(scratch / "out.csv"), strict=True))
    with (folder / "split.csv").open(newline="") as handle:
        parts = [(int(row["GalaxyID"]), row["part"]) for row in csv.DictReader(handle)]
    ids = [number for number, part in parts if part == "validation"]
    place = {int(number): row for row, number in enumerate(sky.ids)}
    held_out, train = [place[i] for i in ids], [place[i] for i, part in parts if part == "train"]
    predicted = np.array([by_id[i] for i in ids], np.float64)
    mean = sky.answers[train].mean(axis=0)
    page = Page(made.page.read_text(encoding="utf-8"))
    return Reported(folder, made, page, ids, predicted, sky.answers[held_out], truth[held_out], mean)


def quiet() -> Display:
    return Display(Console(file=io.StringIO()))


def name_truth(folder: Path, table: Path) -> None:
    """Make a run one of a simulated sky whose true probabilities are in `table`."""
    file = folder / run_folder.SOURCE
    file.write_text(json.dumps({**json.loads(file.read_text()), "truth": str(table)}))


def rmse(answers: Any, people: Any) -> float:
    return math.sqrt(np.mean((answers - people) ** 2))


def plots(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in (folder / report.PLOTS).iterdir()}


def test_the_page_begins_with_the_score_and_what_it_means(reported: Reported) -> None:
    ours, mean = rmse(reported.predicted, reported.people), rmse(reported.mean, reported.people)
    floor = rmse(reported.truth, reported.people)
    texts = reported.page.texts
    assert {f"{value:.4f}" for value in (ours, mean, floor)} <= set(texts)
    assert texts.index(f"{ours:.4f}") < texts.index(f"{mean:.4f}") < texts.index("Recipe")
    compared = "below" if ours < mean else "above"
    assert any(text.startswith(f"{abs(1 - ours / mean):.0%} {compared}".replace("%", "\xa0%")) for text in texts)
    made = reported.report
    assert made.score is not None
    assert (made.score.rmse, made.mean_answer, made.noise_floor) == pytest.approx((ours, mean, floor), abs=1e-6)
    low, high = made.score.interval
    want = f"RMSE on {len(reported.ids)} galaxies held out, 95\xa0% interval {low:.4f} to {high:.4f}"
    assert want in texts


def test_the_page_names_the_run(reported: Reported, tiny: dict[str, Any]) -> None:
    texts = reported.page.texts
    facts = {text: texts[place + 1] for place, text in enumerate(texts[:-1])}
    weights = report.load_predictor(reported.folder, "last", "cpu").network.state_dict()
    count = sum(value.numel() for name, value in weights.items() if "running" not in name and "batches" not in name)
    assert facts["Network"] == f"galaxy-vgg, {count:,} parameters"
    assert facts["Epochs"] == f"{tiny['run.epochs']} of {tiny['run.epochs']}"
    assert facts["Galaxies"] == f"33 trained on, {len(reported.ids)} held out"
    assert facts["Device"] == "cpu fp32"
    assert facts["Made with"].endswith(f"torch {torch.__version__}")


def test_every_question_has_its_score_and_the_mean_answers(reported: Reported) -> None:
    words = reported.page.words("RMSE by question")
    for question, span in zip(QUESTIONS, SPANS, strict=True):
        ours = rmse(reported.predicted[:, span], reported.people[:, span])
        mean = rmse(reported.mean[span], reported.people[:, span])
        assert f"{question.name.replace('_', ' ')} {ours:.3f} (mean answer {mean:.3f})" in words


def test_every_question_has_its_numbers(reported: Reported, succeed: Any) -> None:
    """Those of `evaluate --json` on the same galaxies."""
    rows = reported.page.tables["Questions"]
    file = reported.folder / "found.json"
    succeed("evaluate", reported.folder, "--views", VIEWS, "--json", file)
    values = json.loads(file.read_text())
    assert rows[0] == ["question", "RMSE", "mean answer", "ECE", "slope", "off the tree", "at most"]
    assert rows[1][:3] == ["all", f"{values['rmse'][0]:.3f}", f"{values['mean_answer'][0]:.3f}"]
    for row, (name, found) in zip(rows[2:], values["questions"].items(), strict=True):
        numbers = (found["rmse"][0], *(found[key] for key in ("mean_answer", "ece", "slope", "tree_mean")))
        assert row == [name.replace("_", " "), *(f"{n:.3f}" for n in (*numbers, found["tree_largest"]))]
    off = np.abs(reported.predicted[:, :3].sum(axis=1) - 1)
    assert rows[2][5:] == [f"{off.mean():.3f}", f"{off.max():.3f}"]
    assert f"smooth {values['questions']['smooth']['ece']:.3f}" in reported.page.words("Reliability by question")
    consistency = [f"{value[0]:.4f}" for value in values["consistency"]["rms_by_views"].values()]
    assert set(consistency) <= set(reported.page.texts)
    turned = ", ".join(f"{pose['degrees']:.4g}" for pose in values["consistency"]["poses"])
    assert any(f"turned by {turned} degrees" in text for text in reported.page.texts)


def test_the_page_says_what_constants_score(reported: Reported) -> None:
    zeros, ones = rmse(0, reported.people), rmse(1, reported.people)
    assert any(f"All zeros would score {zeros:.4f}, all ones {ones:.4f}." in text for text in reported.page.texts)


def test_the_worst_are_named(reported: Reported) -> None:
    errors = {str(i): rmse(*each) for i, *each in zip(reported.ids, reported.predicted, reported.people, strict=True)}
    rows = reported.page.tables["Answered worst, by name"][1:]
    assert [row[:2] for row in rows] == [
        [name, f"{error:.3f}"] for name, error in sorted(errors.items(), key=lambda pair: -pair[1])
    ]
    squares = np.square(reported.predicted - reported.people)[reported.ids.index(int(rows[0][0]))]
    by_question = [math.sqrt(squares[span].mean()) for span in SPANS]
    worst = int(np.argmax(by_question))
    assert rows[0][2:] == [QUESTIONS[worst].name.replace("_", " "), f"{by_question[worst]:.3f}"]


def test_a_report_beside_other_answers(reported: Reported, copied: Callable[[], Path], tmp_path: Path) -> None:
    """Beside the people's own answers, whose RMSE is 0: the difference is minus the score, and its name stays text."""
    write_answers(tmp_path / "<b>.csv", [(reported.ids, reported.people)])
    asked = Asked(views=VIEWS, consistency=0, against=tmp_path / "<b>.csv")
    made = write_report(copied(), asked, quiet())
    page = Page(made.page.read_text(encoding="utf-8"))
    ours, (low, high) = made.score.rmse, made.score.interval
    assert f"RMSE is {ours:.4f} higher than that of {tmp_path / '<b>.csv'} on the same galaxies." in page.texts
    rows = page.tables[f"Beside {tmp_path / '<b>.csv'}"]
    assert rows[1] == ["all", f"−{ours:.4f}", f"−{high:.4f} to −{low:.4f}"]  # noqa: RUF001
    smooth = rmse(reported.predicted[:, :3], reported.people[:, :3])
    assert rows[2][:2] == ["smooth", f"−{smooth:.4f}"]  # noqa: RUF001
    assert not any("Turned" in text for text in page.texts)
    assert "b" not in {tag for tag, _ in page.tags}
    assert not any(heading.startswith("Beside") for heading in reported.page.tables)


def test_the_class_means_are_of_the_galaxies_held_out(reported: Reported) -> None:
    predicted, people = reported.predicted.mean(axis=0), reported.people.mean(axis=0)
    furthest = int(np.abs(predicted - people).argmax())
    want = f"{figures.answer_name(furthest)} {predicted[furthest]:.2f} predicted, {people[furthest]:.2f} by people"
    assert want in reported.page.words("How often each answer is given")


def test_the_curves_words_are_those_of_the_metrics(reported: Reported) -> None:
    with (reported.folder / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    words = reported.page.words("RMSE by epoch")
    for name, values in (
        ("training (augmented views)", [math.sqrt(float(row["train_loss"])) for row in rows]),
        ("held out", [float(row["validation_rmse"]) for row in rows]),
    ):
        ends = f"{values[0]:.4f} in epoch 1, {values[-1]:.4f} in epoch {len(rows)}"
        assert f"RMSE of {name}: {ends}, {min(values):.4f} at its lowest." in words
    assert f"The noise floor scores {rmse(reported.truth, reported.people):.4f}." in words


def test_examples_are_the_best_and_the_worst(reported: Reported) -> None:
    errors = {str(i): rmse(*each) for i, *each in zip(reported.ids, reported.predicted, reported.people, strict=True)}
    order = sorted(errors, key=lambda name: errors[name])
    for title, names in (
        ("Answered best", order[:4]),
        ("In the middle", order[4:7]),
        ("Answered worst", order[:-5:-1]),
    ):
        words = reported.page.words(title)
        places = [words.index(f"{name}, RMSE {errors[name]:.3f}: ") for name in names]
        assert places == sorted(places)
        assert words.count("RMSE") == len(names)


def test_an_example_shows_the_first_question_and_the_greatest_differences(reported: Reported) -> None:
    errors = np.square(reported.predicted - reported.people).mean(axis=1)
    place = int(errors.argmin())
    differ = np.abs(reported.predicted - reported.people)[place]
    others = sorted(range(3, 37), key=lambda column: -differ[column])[:2]
    words = reported.page.words("Answered best")
    line = words[words.index(f"{reported.ids[place]}, RMSE") :].split(". ")[0]
    for column in (0, 1, 2, *others):
        ours, people = reported.predicted[place, column], reported.people[place, column]
        assert f"{figures.answer_name(column)} {ours:.2f} predicted, {people:.2f} by people" in line


def test_the_page_needs_nothing_else_and_runs_nothing(reported: Reported) -> None:
    text = reported.report.page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
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


def test_a_new_report_takes_the_place_of_the_old_and_a_fault_does_not(copied: Callable[[], Path]) -> None:
    folder = copied()
    (folder / report.PLOTS / "stale.png").write_bytes(b"")
    (folder / report.PAGE).write_text("old")
    write_report(folder, Asked(views=1), quiet())
    before = (folder / report.PAGE).read_bytes(), plots(folder)
    assert set(before[1]) == WITH_SCORE
    assert before[0].startswith(b"<!DOCTYPE html>")
    (folder / "metrics.csv").write_text("")
    with pytest.raises(DataFault):
        write_report(folder, Asked(views=1), quiet())
    assert before == ((folder / report.PAGE).read_bytes(), plots(folder))


def test_the_best_checkpoint_is_said_to_be_chosen_on_these_galaxies(
    copied: Callable[[], Path], reported: Reported, run: Path
) -> None:
    """And so is that of the run beside it."""
    asked = Asked(which="best", views=1, consistency=0, against=run)
    page = Page(write_report(copied(), asked, quiet()).page.read_text(encoding="utf-8"))
    for words in ("The checkpoint was chosen", f"The checkpoint of {run} was chosen"):
        assert sum(text.startswith(words) for text in page.texts) == 1
    assert not any("chosen" in text for text in reported.page.texts)


def test_a_run_that_held_nothing_out_has_no_score(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> None:
    settings = {**tiny, "run.validation": 0, "run.epochs": 1}
    train(TrainOptions(sky.store, settings=settings, run=tmp_path / "run"), quiet())
    made = write_report(tmp_path / "run", Asked(), quiet())
    assert made.score is None
    assert math.isnan(made.mean_answer)
    assert made.noise_floor is None
    page = Page(made.page.read_text(encoding="utf-8"))
    assert "No galaxies were held out, so there is no score." in page.texts
    assert set(plots(tmp_path / "run")) == {"curves", "augmentation"}
