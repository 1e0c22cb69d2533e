"""The figures of a report: the values that they show, and what they do not depend on."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from galaxy_triton.evaluate import figures
from galaxy_triton.evaluate.calibration import bins_of
from galaxy_triton.evaluate.report import read_metrics
from galaxy_triton.evaluate.scores import Estimate, Score
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS
from tests.support.figures import HOSTILE, PIXEL

pytestmark = pytest.mark.usefixtures("real_figures")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, not rendered."""
    kept: list[Figure] = []

    def keep(figure: Figure, file: Any, **options: Any) -> None:
        kept.append(figure)
        file.write(PIXEL)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def test_figures_do_not_depend_on_the_users_settings(run: Path, drawn: list[Figure]) -> None:
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        with figures.style():
            figures.curves(read_metrics(run / "metrics.csv"), {"mean answer": 0.2})
        assert matplotlib.rcParams["font.size"] == 30
    for axes in drawn[0].axes:
        assert axes.yaxis.label.get_fontsize() == 9
        assert axes.get_facecolor() == (1, 1, 1, 1)


def test_every_answer_has_a_name_of_its_own() -> None:
    assert len(set(figures.ANSWERS)) == 37


def test_no_words_lie_on_a_galaxy_whatever_its_name() -> None:
    """The longest answers and names stand beside red pictures, and the pictures are red all over."""
    longest = sorted(range(3, 37), key=lambda column: len(figures.ANSWERS[column]))[-2:]
    predicted = np.zeros((len(HOSTILE), 37))
    predicted[:, longest] = 1
    red = np.broadcast_to((1.0, 0.0, 0.0), (len(HOSTILE), 8, 8, 3))
    with figures.style():
        picture = figures.examples(HOSTILE, red, predicted, np.zeros_like(predicted))
    with Image.open(io.BytesIO(picture.png)) as image:
        is_red = (np.asarray(image.convert("RGB")) == (255, 0, 0)).all(axis=-1)
    assert is_red.any()
    assert (is_red[is_red.any(axis=1)] == is_red.any(axis=0)).all()
    assert all(name in picture.words for name in HOSTILE)


@pytest.mark.usefixtures("drawn")
def test_an_estimate_outside_its_interval_by_rounding_is_drawn() -> None:
    """Galaxies of one error have an interval without width, and the sums round each their way."""
    of_question = {question.name: Estimate(0.3, 0.3 + 6e-17, 0.3 - 6e-17) for question in QUESTIONS}
    equal = Score(3, 0.3, (0.3, 0.3), of_question)
    figures.questions(equal, equal)


def test_every_question_has_a_panel_of_its_bins(drawn: list[Figure]) -> None:
    predicted, people = np.random.default_rng(1).random((2, 40, 37))
    ece = {question.name: number / 100 for number, question in enumerate(QUESTIONS)}
    figures.calibration(predicted, people, ece)
    for axes, name, span in zip(drawn[0].axes, ece, SPANS, strict=False):
        assert axes.get_title() == f"{name.replace('_', ' ')}\nECE {ece[name]:.3f}"
        bins = bins_of(predicted[:, span], people[:, span])
        _, *dots = (line.get_xydata() for line in axes.lines)
        shown = {tuple(dot) for dot in np.concatenate(dots).tolist()}
        assert shown == set(zip(bins.predicted.tolist(), bins.people.tolist(), strict=True))
