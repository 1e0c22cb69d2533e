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

from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate import figures, report
from galaxy_triton.evaluate.figures import ANSWERS, Picture
from galaxy_triton.evaluate.findings import Findings
from galaxy_triton.evaluate.page import verdict
from galaxy_triton.evaluate.report import ReportOptions, read_metrics, write_report
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from tests.support.figures import HOSTILE, real_figures
from tests.support.parsed_page import Page

VIEWS, BATCH = 2, 5
OF_TRAINING = {"curves", "augmentation"}
WITH_SCORE = OF_TRAINING | {"questions", "classes", "reliability", "calibration", "best", "middle", "worst"}


class Reported(NamedTuple):
    """A report of the tiny run, and the values it should show: [n, 37] by validation galaxy, float32."""

    folder: Path
    found: Findings
    page: Page
    ids: list[int]
    predicted: np.ndarray[Any, np.dtype[np.float32]]
    people: np.ndarray[Any, np.dtype[np.float32]]
    truth: np.ndarray[Any, np.dtype[np.float32]]
    mean: np.ndarray[Any, np.dtype[np.float64]]  # [n, 37], all rows alike


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A run of one's own, to damage."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture(scope="module")
def reported(run: Path, sky: Any, tmp_path_factory: pytest.TempPathFactory, succeed: Any) -> Reported:
    """The one report here whose figures are drawn. Its predictions are those of `predict`, its labels the sky's."""
    scratch = tmp_path_factory.mktemp("reported")
    folder, truth_table = shutil.copytree(run, scratch / "run"), scratch / "truth.csv"
    truth = np.clip(sky.answers + np.random.default_rng(5).normal(0, 0.02, sky.answers.shape), 0, 1)
    write_answers(truth_table, [(sky.ids[: len(truth)], truth)])
    change_source(folder, truth=truth_table)
    with real_figures():
        found = write_report(folder, ReportOptions(views=VIEWS, batch_size=BATCH), Display(quiet=True))
    succeed("predict", folder, sky.store, "--out", scratch / "out.csv", "--views", VIEWS)
    by_id = dict(zip(*read_answers(scratch / "out.csv"), strict=True))
    parts = run_folder.read_split(folder)
    ids = parts.validation.tolist()
    rows, train = (np.searchsorted(sky.ids, getattr(parts, part)) for part in ("validation", "train"))
    assert found.predictions == pytest.approx(np.array([by_id[i] for i in ids]), abs=1e-6)
    assert found.labels == pytest.approx(sky.answers[rows], abs=1e-6)
    mean = np.broadcast_to(sky.answers[train].mean(axis=0), (len(ids), 37))
    return Reported(folder, found, page_in(folder), ids, found.predictions, found.labels, truth[rows], mean)


def page_in(folder: Path) -> Page:
    return Page((folder / report.PAGE).read_text(encoding="utf-8"))


def change_source(folder: Path, **values: Path) -> None:
    file = folder / run_folder.SOURCE
    file.write_text(json.dumps(json.loads(file.read_text()) | values, default=str))


def errors_of(reported: Reported) -> dict[str, float]:
    """The RMSE of each galaxy by its name."""
    return {str(i): rmse(*each) for i, *each in zip(reported.ids, reported.predicted, reported.people, strict=True)}


def plots(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in (folder / report.PLOTS).iterdir()}


def test_the_page_begins_with_the_score(reported: Reported) -> None:
    """Then the mean answer and the noise floor, before the facts about the run."""
    scores = [rmse(values, reported.people) for values in (reported.predicted, reported.mean, reported.truth)]
    found = reported.found
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


def test_a_report_beside_other_predictions(copied: Path, reported: Reported, display: Display, tmp_path: Path) -> None:
    """Beside the labels, whose RMSE is 0: the difference is minus the score, and the table's name stays text."""
    against = tmp_path / "<b>.csv"
    write_answers(against, [(reported.ids, reported.people)])
    found = write_report(copied, ReportOptions(views=1, consistency=0, against=against), display)
    page, score = page_in(copied), found.score
    rows = next(rows for heading, rows in page.tables.items() if str(against) in heading)
    low, high = (f"−{end:.4f}" for end in score.interval)  # noqa: RUF001
    assert rows[1] == ["all", f"−{score.rmse:.4f}", f"{high} to {low}"]  # noqa: RUF001
    assert rows[2][:2] == ["smooth", f"−{score.questions['smooth'].value:.4f}"]  # noqa: RUF001
    assert any(f"{score.rmse:.4f} higher than that of {against}" in text for text in page.texts)
    assert "Rotation consistency" in reported.page.texts
    assert "Rotation consistency" not in page.texts
    assert "b" not in {tag for tag, _ in page.tags}


def test_figures_have_words(reported: Reported) -> None:
    """For the mean fractions, the curves and the examples."""
    predicted, people = reported.predicted.mean(axis=0), reported.people.mean(axis=0)
    furthest = int(np.abs(predicted - people).argmax())
    pair = f"{ANSWERS[furthest]} {predicted[furthest]:.2f} predicted, {people[furthest]:.2f} by people"
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
        pair = f"{ANSWERS[column]} {predicted[column]:.2f} predicted, {people[column]:.2f} by people"
        assert pair in line


def test_the_page_needs_nothing_else_and_runs_nothing(reported: Reported) -> None:
    text = (reported.folder / report.PAGE).read_text(encoding="utf-8")
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


def test_a_new_report_replaces_the_old_and_a_fault_does_not(copied: Path, display: Display) -> None:
    (copied / report.PLOTS / "stale.png").write_bytes(b"")
    (copied / report.PAGE).write_text("old")
    options = ReportOptions(views=1, consistency=0)
    write_report(copied, options, display)
    before = (copied / report.PAGE).read_bytes(), plots(copied)
    assert set(before[1]) == WITH_SCORE
    assert before[0].startswith(b"<!DOCTYPE html>")
    (copied / "metrics.csv").write_text("")
    with pytest.raises(DataFault):
        write_report(copied, options, display)
    assert before == ((copied / report.PAGE).read_bytes(), plots(copied))


def test_a_checkpoint_chosen_on_these_galaxies_is_named(
    copied: Path, reported: Reported, run: Path, display: Display
) -> None:
    """That of the run beside it too."""
    write_report(copied, ReportOptions(which="best", views=1, consistency=0, against=run), display)
    chosen = [text for text in page_in(copied).texts if "chosen" in text]
    assert [str(run) in text for text in chosen] == [True, False]
    assert not any("chosen" in text for text in reported.page.texts)


def test_a_run_without_validation_has_no_score(copied: Path, display: Display) -> None:
    split = copied / "split.csv"
    split.write_text(split.read_text().replace("validation", "train"))
    assert write_report(copied, ReportOptions(), display) is None
    assert any("no score" in text for text in page_in(copied).texts)
    assert set(plots(copied)) == OF_TRAINING


def test_augmentation_shows_the_views_of_the_run(
    copied: Path, sky: Any, tiny: dict[str, Any], display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(figures, "augmentation", lambda views: seen.append(views) or Picture(b"", 1, 1, ""))
    write_report(copied, ReportOptions(views=1, consistency=0), display)
    (views,) = seen
    store, config = open_store(sky.store), run_folder.read_config(copied)
    galaxies = load(store, torch.device("cpu"), lambda done: None)
    train = run_folder.read_split(copied).train
    rows = torch.from_numpy(np.searchsorted(store.ids, train[[0, 6, 13, 19, 26, 32]]))
    maker, side = ViewMaker(config.augmentation), tiny["augmentation.size"]
    edge = (store.preprocess.size - side) // 2
    centre = store.pixels[rows.numpy(), edge : edge + side, edge : edge + side, :3]
    np.testing.assert_allclose(views[:, 0], centre / 255, atol=1e-6)
    for epoch in range(tiny["run.epochs"]):
        buffer = maker.empty(6, rows.device)
        drawn = maker.random(batch_of(galaxies, rows), torch.tensor(config.run.seed), torch.tensor(epoch), buffer)
        np.testing.assert_array_equal(views[:, 1 + epoch], drawn.permute(0, 2, 3, 1).numpy())
    assert views.shape == (6, 1 + tiny["run.epochs"], side, side, 3)


DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "header only": lambda text: text.splitlines(keepends=True)[0],
    "cut": lambda text: text[: len(text) * 3 // 4],
    "last digits cut": lambda text: text[:-3],
    "other columns": lambda text: text.replace("train_loss", "loss"),
    "a cell more": lambda text: text.replace("\n2,", "\n2,0,"),
    "a first row less": lambda text: "".join(text.splitlines(keepends=True)[::2]),
    "text": lambda text: text.replace("\n2,", "\n2,high"),
    "a negative loss": lambda text: text.replace("\n2,", "\n2,-"),
    "an infinite loss": lambda text: text.replace("\n2,", "\n2,1e999"),
    "no text at all": lambda text: "\x00\xff" * 40,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_metrics_are_a_fault(run: Path, tmp_path: Path, damage: str) -> None:
    file, text = tmp_path / "metrics.csv", (run / "metrics.csv").read_text()
    with pytest.raises(DataFault, match="No such file"):
        read_metrics(file)
    file.write_text(text)
    assert list(read_metrics(file)["epoch"]) == [1, 2]
    file.write_text(DAMAGE[damage](text))
    with pytest.raises(DataFault, match=r"the run's metrics\.csv"):
        read_metrics(file)


def test_the_store_of_the_run_may_move_but_not_change(copied: Path, display: Display, sky: Any, tmp_path: Path) -> None:
    change_source(copied, store=tmp_path / "gone")
    with pytest.raises(DataFault, match="gone"):
        write_report(copied, ReportOptions(), display)
    assert write_report(copied, ReportOptions(store=sky.store, views=1, consistency=0), display) is not None
    pack(sky.images, sky.labels, tmp_path / "other", size=20, workers=1)
    own, other = open_store(sky.store).hash[:12], open_store(tmp_path / "other").hash[:12]
    with pytest.raises(DataFault, match=f"{own}.*{other}"):
        write_report(copied, ReportOptions(store=tmp_path / "other"), display)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("split.csv", "GalaxyID,part\n1,train\n", "labelled galaxies of the store"),
        ("split.csv", "GalaxyID,part\n", "labelled galaxies of the store"),
        ("started.json", "{}", "started.json"),
    ],
)
def test_a_damaged_run_is_a_fault(copied: Path, display: Display, name: str, content: str, words: str) -> None:
    (copied / name).write_text(content)
    with pytest.raises(DataFault, match=words):
        write_report(copied, ReportOptions(views=1), display)


def test_a_truth_of_other_galaxies_is_a_fault(copied: Path, display: Display, sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "truth.csv", [([1], sky.answers[:1])])
    change_source(copied, truth=tmp_path / "truth.csv")
    with pytest.raises(DataFault, match="true probabilities"):
        write_report(copied, ReportOptions(views=1), display)


def test_names_of_a_stranger_stay_text(copied: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "names_of", lambda store: (HOSTILE * len(store.ids))[: len(store.ids)])
    folder = copied.rename(copied.parent / "<script>alert(2)<")
    started = folder / "started.json"
    started.write_text(started.read_text().replace("galaxy-triton", "<script>alert(3)</script>"))
    write_report(folder, ReportOptions(views=1, consistency=0), display)
    page = page_in(folder)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(2)<" in page.texts
    assert any("<script>alert(3)</script>" in text for text in page.texts)
    shown = {row[0] for row in page.tables["Highest RMSE"]}
    assert {HOSTILE[0], HOSTILE[2], HOSTILE[3]} <= shown
