"""The figures of a report: what they do not depend on, and the words for the answers."""

import io
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate import figures
from galaxy_triton.evaluate.report import ReportOptions, read_metrics, write_report
from galaxy_triton.evaluate.scores import Estimate, Score
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display

pytestmark = pytest.mark.usefixtures("real_figures")


def test_figures_do_not_depend_on_the_users_settings(run: Path) -> None:
    def drawn() -> bytes:
        with figures.style():
            return figures.curves(read_metrics(run / "metrics.csv"), {"mean answer": 0.2}).png

    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "lines.linewidth": 9}):
        other = drawn()
        assert matplotlib.rcParams["font.size"] == 30
    assert other == drawn()


def test_every_answer_has_a_name_of_its_own() -> None:
    assert len({figures.answer_name(column) for column in range(37)}) == 37


def test_no_words_lie_on_a_galaxy() -> None:
    """Every answer after the first question's stands beside a red picture once, and the picture is red all over."""
    red, chosen = np.broadcast_to((1.0, 0.0, 0.0), (8, 8, 3)), []
    for column in range(3, 37, 2):
        predicted = np.zeros(37)
        predicted[[column, column + 1]] = 1
        chosen.append(figures.Example("n" * 99, red, predicted, np.zeros(37)))
    with figures.style(), Image.open(io.BytesIO(figures.examples(chosen).png)) as image:
        is_red = (np.asarray(image.convert("RGB")) == (255, 0, 0)).all(axis=-1)
    assert is_red.any()
    assert (is_red[is_red.any(axis=1)] == is_red.any(axis=0)).all()


def test_an_estimate_outside_its_interval_by_rounding_is_drawn() -> None:
    """Galaxies of one error have an interval without width, and the sums round each their way."""
    of_question = {question.name: Estimate(0.3, 0.3 + 6e-17, 0.3 - 6e-17) for question in QUESTIONS}
    equal = Score(3, 0.3, (0.3, 0.3), of_question)
    assert figures.questions(equal, equal).png.startswith(b"\x89PNG")


def test_every_question_has_a_panel_and_its_error_in_words() -> None:
    rng = np.random.default_rng(1)
    predicted, people = rng.random((2, 40, 37))
    ece = {question.name: number / 100 for number, question in enumerate(QUESTIONS)}
    with figures.style():
        picture = figures.calibration(predicted, people, ece)
        for span in (SPANS[0], SPANS[-1]):
            changed = predicted.copy()
            changed[:, span] = 0.5
            other = figures.calibration(changed, people, ece)
            assert (other.png != picture.png, other.words) == (True, picture.words)
    for name, error in ece.items():
        assert f"{name.replace('_', ' ')} {error:.3f}" in picture.words


def test_augmentation_shows_the_views_of_the_run(
    run: Path, sky: Any, tiny: dict[str, Any], tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    draw = figures.augmentation
    monkeypatch.setattr(figures, "augmentation", lambda views: seen.append(views) or draw(views))
    folder = shutil.copytree(run, tmp_path / "run")
    write_report(folder, ReportOptions(views=1), display)
    (views,) = seen
    store, config = open_store(sky.store), run_folder.read_config(folder)
    galaxies = load(store, torch.device("cpu"), lambda done: None)
    train = run_folder.read_split(folder).train
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
