"""The figures of a run's report, each with a description in words. Fractions are of the people asked."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.evaluate.calibration import BINS, Bins, bins_of
from galaxy_triton.evaluate.scores import Score, rmse
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS

Floats = NDArray[np.floating]


def plain(name: str) -> str:
    """The name of a question or answer as text."""
    return name.replace("_", " ")


# Okabe and Ito's colours, which the colour-blind tell apart.
PEOPLE, PREDICTED, MEAN_ANSWER, NOISE_FLOOR = "#222222", "#0072b2", "#d55e00", "#009e73"
WIDTH, NARROW = 4.2, 3.6  # inches: 9 pt are then about 10 px on a phone of 390 px, and no more than 16 px on a desktop
EXAMPLE_HEAD, EXAMPLE_HEIGHT = 0.42, 1.5  # inches
DOTS_PER_INCH = 200
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    # A galaxy's name is text, whatever it holds.
    "text.parse_math": False,
    "text.usetex": False,
}
# The 37 answers in words, each after its question unless that is the first.
ANSWERS = tuple(
    plain(answer if question is QUESTIONS[0] else f"{question.name}: {answer}")
    for question in QUESTIONS
    for answer in question.answers
)
EPOCHS = 4  # whose views the figure of the augmentation shows
FEW = 20  # predictions in a bin, below which its mean says little


@dataclass(frozen=True)
class Picture:
    """A figure as PNG, its size in pixels, and its description in words."""

    png: bytes
    width: int
    height: int
    words: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in STYLE, whatever the user's own settings of matplotlib are."""
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the page has it in words.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def curves(metrics: pd.DataFrame, references: dict[str, float]) -> Picture:
    """The RMSE of training and validation by epoch, above the learning rate.

    metrics: the columns of run_folder.EpochRow. references: the RMSE of "mean answer" and "noise floor", those known.
    """
    figure, above, below = _two_panels(4.3)
    epochs, validation = metrics["epoch"], metrics["validation_rmse"]
    words = [_plot_curve(above, epochs, metrics["train_loss"].pow(0.5), "0.55", "training (augmented views)")]
    if validation.notna().any():
        words.append(_plot_curve(above, epochs, validation, PREDICTED, "validation"))
    for (name, value), colour in zip(references.items(), (MEAN_ANSWER, NOISE_FLOOR), strict=False):
        above.axhline(value, color=colour, linewidth=1, linestyle="--", label=name)
        words.append(f"The {name} scores {value:.4f}.")
    above.set(ylabel="RMSE", ylim=(0, None))
    below.plot(epochs, metrics["learning_rate"], ".-", color="0.3", linewidth=1.2, markersize=4)
    below.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    below.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _legend(figure, above)
    return _picture(figure, " ".join(words))


def questions(network: Score, mean_answer: Score) -> Picture:
    """The RMSE of each question with its interval, beside that of the mean answer."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot(xlabel="RMSE")
    names = [plain(name) for name in network.questions]
    values, low, high = np.array(list(network.questions.values())).T
    means = [estimate.value for estimate in mean_answer.questions.values()]
    axes.barh(names, values, 0.62, color=PREDICTED, label="network")
    # Rounding can put an estimate a hair outside its interval.
    bars = np.maximum((values - low, high - values), 0)
    axes.errorbar(values, names, xerr=bars, fmt="none", ecolor="black", elinewidth=1)
    axes.plot(means, names, "D", color=MEAN_ANSWER, markersize=5, label="mean answer")
    axes.invert_yaxis()
    axes.grid(axis="x")
    _legend(figure, axes)
    each = zip(names, values, means, strict=True)
    words = "; ".join(f"{name} {ours:.3f} (mean answer {mean:.3f})" for name, ours, mean in each)
    return _picture(figure, f"RMSE: {words}.")


def classes(predicted: Floats, people: Floats) -> Picture:
    """The mean fraction of each of the 37 answers, by people and predicted; both [37]."""
    figure = Figure(figsize=(WIDTH, 8.8), layout="constrained")
    axes = figure.add_subplot(xlabel="mean fraction of all people")
    headings = [span.start + 1.4 * number for number, span in enumerate(SPANS)]
    places = [column + 1.4 * number + 1 for number, span in enumerate(SPANS) for column in range(span.start, span.stop)]
    axes.hlines(places, people, predicted, color="0.6", linewidth=1)
    axes.plot(people, places, "o", color=PEOPLE, markersize=6, markerfacecolor="white", label="people")
    axes.plot(predicted, places, "o", color=PREDICTED, markersize=4, label="network")
    for place, question in zip(headings, QUESTIONS, strict=True):
        axes.text(0, place, question.text, fontweight="bold", fontsize=8.5, va="center")
    axes.set_yticks(places, [plain(answer) for question in QUESTIONS for answer in question.answers])
    axes.set(ylim=(max(places) + 0.7, -0.7), xlim=(-0.02, None))
    axes.tick_params(axis="y", length=0)
    axes.grid()
    _legend(figure, axes)
    furthest = int(np.argmax(np.abs(predicted - people)))
    return _picture(figure, f"The two differ most for {_pair(furthest, predicted, people)}.")


def reliability(predictions: Floats, labels: Floats) -> Picture:
    """The mean fraction by people against the predicted one, above the number of predictions in each bin; [n, 37]."""
    bins = bins_of(predictions, labels)
    figure, above, below = _two_panels(4.9)
    _plot_bins(above, bins, 6)
    above.set(ylabel="mean fraction of people", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    centres = (np.arange(BINS) + 0.5) / BINS
    below.bar(centres, bins.counts, 0.9 / BINS, color="0.6")
    below.set(xlabel="predicted fraction", ylabel="answers", yscale="log", ylim=(0.8, None))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    filled = np.flatnonzero(bins.counts)
    each = (f"{bins.predicted[i]:.2f} predicted, {bins.people[i]:.2f} by people ({bins.counts[i]:,})" for i in filled)
    return _picture(figure, f"Mean fractions by bin, and how many predictions: {'; '.join(each)}.")


def calibration(predictions: Floats, labels: Floats, ece: dict[str, float]) -> Picture:
    """Reliability in a panel for each question, below its expected calibration error; predictions, labels [n, 37]."""
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    panels = figure.subplots(4, 3, sharex=True, sharey=True).ravel()
    for axes, (name, error), span in zip(panels, ece.items(), SPANS, strict=False):
        _plot_bins(axes, bins_of(predictions[:, span], labels[:, span]), 4)
        axes.set_title(f"{plain(name)}\nECE {error:.3f}")
        axes.grid()
    for empty in panels[len(ece) :]:
        empty.set_axis_off()
    # The last panel of each column has the numbers.
    for axes in panels[len(ece) - 3 : len(ece)]:
        axes.tick_params(labelbottom=True)
    panels[0].set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06))
    panels[0].set_xticks((0, 0.5, 1), ("0", "½", "1"))
    panels[0].set_yticks((0, 0.5, 1), ("0", "½", "1"))
    figure.supxlabel("predicted fraction", fontsize="medium")
    figure.supylabel("mean fraction of people", fontsize="medium")
    words = "; ".join(f"{plain(name)} {error:.3f}" for name, error in ece.items())
    return _picture(figure, f"Expected calibration error: {words}.")


def examples(names: Sequence[str], views: Floats, predicted: Floats, people: Floats) -> Picture:
    """Galaxies beside the fractions of the first question and of the two answers that differ most.

    Args:
        names: [n]. views: [n, S, S, 3] in [0, 1]. predicted, people: fractions [n, 37].
    """
    height = EXAMPLE_HEAD + EXAMPLE_HEIGHT * len(names)
    figure = Figure(figsize=(NARROW, height))
    # The same places in every figure, however long the labels are; inches become shares.
    edges = {"left": 0.01, "right": 0.98, "top": 1 - EXAMPLE_HEAD / height, "bottom": 0.25 / height}
    grid = figure.add_gridspec(len(names), 2, width_ratios=(1.1, 0.8), wspace=1.65, hspace=0.45, **edges)
    words = []
    for row, (name, view, ours, labels) in enumerate(zip(names, views, predicted, people, strict=True)):
        image, bars = (figure.add_subplot(grid[row, column]) for column in (0, 1))
        image.imshow(np.clip(view, 0, 1))
        image.set_axis_off()
        image.set_title(_short(name), loc="left")
        score, shown = f"RMSE {rmse(ours, labels):.3f}", _most_different(ours, labels)
        _draw_fractions(bars, ours[shown], labels[shown], [ANSWERS[column] for column in shown])
        bars.set_title(score, loc="right")
        words.append(f"{name}, {score}: {'; '.join(_pair(column, ours, labels) for column in shown)}.")
    figure.legend(*bars.get_legend_handles_labels(), loc="upper left", ncols=2, borderaxespad=0)
    return _picture(figure, " ".join(words))


def augmentation(views: Floats) -> Picture:
    """Galaxies as stored and their views in the first epochs: [galaxies, 1 + epochs, S, S, 3] in [0, 1]."""
    galaxies, columns, side = views.shape[:3]
    gap = max(1, side // 16)
    # As wide as all EPOCHS would be, so that the views of a short run are no larger.
    height, width = galaxies * (side + gap) - gap, (1 + EPOCHS) * (side + gap) - gap
    figure = Figure(figsize=(WIDTH, 0.25 + WIDTH * height / width), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(_sheet(views, gap))
    axes.set_xlim(-0.5, width - 0.5)
    axes.spines[:].set_visible(False)
    names = ["stored", *(f"epoch {epoch}" for epoch in range(1, columns))]
    axes.set_xticks([column * (side + gap) + side / 2 for column in range(columns)], names)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelleft=False)
    return _picture(figure, f"{galaxies} training galaxies: each as stored, then in {columns - 1} views.")


def _two_panels(height: float) -> tuple[Figure, Axes, Axes]:
    """A tall panel above a low one, over the same x."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    for axes in (above, below):
        axes.grid()
    figure.align_ylabels((above, below))
    return figure, above, below


def _picture(figure: Figure, words: str) -> Picture:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return Picture(file.getvalue(), *Image.open(file).size, words)


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def _plot_curve(axes: Axes, epochs: pd.Series, values: pd.Series, colour: str, name: str) -> str:
    axes.plot(epochs, values, ".-", color=colour, linewidth=1.2, markersize=4, label=name)
    first, last = int(epochs.iloc[0]), int(epochs.iloc[-1])
    start = f"RMSE of {name}: {values.iloc[0]:.4f} in epoch {first}"
    return f"{start}, {values.iloc[-1]:.4f} in epoch {last}, {values.min():.4f} at its lowest."


def _plot_bins(axes: Axes, bins: Bins, size: float) -> None:
    """The bins' means beside the diagonal, hollow where they say little. size: of a dot, points."""
    many = bins.counts >= FEW
    axes.plot((0, 1), (0, 1), color="0.6", linewidth=1)
    axes.plot(bins.predicted[many], bins.people[many], "o-", color=PREDICTED, markersize=size)
    axes.plot(bins.predicted[~many], bins.people[~many], "o", color=PREDICTED, markersize=size, markerfacecolor="white")


def _sheet(views: Floats, gap: int) -> Floats:
    """Views [rows, columns, S, S, 3] beside and below each other, on white."""
    rows, columns, side = views.shape[:3]
    padded = np.ones((rows, side + gap, columns, side + gap, 3))
    padded[:, :side, :, :side] = np.clip(views, 0, 1).swapaxes(1, 2)
    return padded.reshape(rows * (side + gap), columns * (side + gap), 3)[:-gap, :-gap]


def _most_different(predicted: Floats, people: Floats) -> list[int]:
    """The columns of the first question, and the two others that differ most."""
    differences = np.abs(predicted - people)
    differences[SPANS[0]] = -1
    return [*range(SPANS[0].stop), *np.argsort(-differences, kind="stable")[:2].tolist()]


def _draw_fractions(axes: Axes, predicted: Floats, people: Floats, answers: list[str]) -> None:
    rows = np.arange(len(answers))
    axes.barh(rows - 0.19, people, 0.36, color=PEOPLE, label="people")
    axes.barh(rows + 0.19, predicted, 0.36, color=PREDICTED, label="network")
    axes.set_yticks(rows, answers, fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(len(answers) - 0.4, -0.6))
    axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _pair(column: int, predicted: Floats, people: Floats) -> str:
    return f"{ANSWERS[column]} {predicted[column]:.2f} predicted, {people[column]:.2f} by people"


def _short(name: str, longest: int = 18) -> str:
    """A name that can be drawn on one line."""
    drawable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return drawable if len(drawable) <= longest else drawable[: longest - 1] + "…"
