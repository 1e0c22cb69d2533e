"""The figures of a run's report, each with the words that say the same. Fractions are of the people asked."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.evaluate.scores import Score
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS

Floats = NDArray[np.floating]

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
EPOCHS = 4  # whose views the augmentation's figure shows


class Picture(NamedTuple):
    """A figure as PNG, its size in pixels, and what it shows in words."""

    png: bytes
    width: int
    height: int
    words: str


class Example(NamedTuple):
    """A galaxy with its answers: view [S, S, 3] in [0, 1], fractions [37]."""

    name: str
    view: Floats
    predicted: Floats
    people: Floats

    @property
    def rmse(self) -> float:
        """Over the galaxy's 37 answers."""
        return float(np.sqrt(np.mean(np.square(self.predicted.astype(np.float64) - self.people))))


@contextmanager
def style() -> Iterator[None]:
    """What every figure is drawn in, whatever the user's own settings of matplotlib."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        # A name in a script that the font lacks is drawn as boxes; the page has it in words.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def curves(metrics: pd.DataFrame, references: dict[str, float]) -> Picture:
    """The RMSE of training and of the galaxies held out by epoch, above the learning rate.

    metrics: the columns of run_folder.EpochRow. references: the RMSE of "mean answer" and "noise floor", those known.
    """
    figure, above, below = two_panels(4.3)
    epochs, held_out = metrics["epoch"], metrics["validation_rmse"]
    words = [_plot_curve(above, epochs, metrics["train_loss"].pow(0.5), "0.55", "training (augmented views)")]
    if held_out.notna().any():
        words.append(_plot_curve(above, epochs, held_out, PREDICTED, "held out"))
    for (name, value), colour in zip(references.items(), (MEAN_ANSWER, NOISE_FLOOR), strict=False):
        above.axhline(value, color=colour, linewidth=1, linestyle="--", label=name)
        words.append(f"The {name} scores {value:.4f}.")
    above.set(ylabel="RMSE", ylim=(0, None))
    below.plot(epochs, metrics["learning_rate"], ".-", color="0.3", linewidth=1.2, markersize=4)
    below.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    below.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _legend(figure, above)
    return png_of(figure, " ".join(words))


def questions(network: Score, mean_answer: Score) -> Picture:
    """The RMSE of each question with its interval, beside what the mean answer scores."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot(xlabel="RMSE")
    names = [plain(name) for name in network.questions]
    values, low, high = np.array(list(network.questions.values())).T
    means = [value for value, _, _ in mean_answer.questions.values()]
    axes.barh(names, values, 0.62, color=PREDICTED, label="network")
    # rounding can put an estimate a hair outside its interval
    bars = np.maximum((values - low, high - values), 0)
    axes.errorbar(values, names, xerr=bars, fmt="none", ecolor="black", elinewidth=1)
    axes.plot(means, names, "D", color=MEAN_ANSWER, markersize=5, label="mean answer")
    axes.invert_yaxis()
    axes.grid(axis="x")
    _legend(figure, axes)
    each = zip(names, values, means, strict=True)
    words = "; ".join(f"{name} {ours:.3f} (mean answer {mean:.3f})" for name, ours, mean in each)
    return png_of(figure, f"RMSE: {words}.")


def classes(predicted: Floats, people: Floats) -> Picture:
    """The mean fraction of each of the 37 answers, as people gave it and as predicted; both [37]."""
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
    return png_of(figure, f"The two differ most for {_pair(furthest, predicted, people)}.")


def examples(chosen: list[Example]) -> Picture:
    """Galaxies with the three answers to the first question and the two where network and people differ most."""
    height = EXAMPLE_HEAD + EXAMPLE_HEIGHT * len(chosen)
    figure = Figure(figsize=(NARROW, height))
    # The same places in every figure, whatever the answers are called; inches become shares.
    edges = {"left": 0.01, "right": 0.98, "top": 1 - EXAMPLE_HEAD / height, "bottom": 0.25 / height}
    grid = figure.add_gridspec(len(chosen), 2, width_ratios=(1.1, 0.8), wspace=1.65, hspace=0.45, **edges)
    for row, example in enumerate(chosen):
        _draw_view(figure.add_subplot(grid[row, 0]), example)
        _draw_answers(figure.add_subplot(grid[row, 1]), example)
    handles, labels = figure.axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", ncols=2, borderaxespad=0)
    return png_of(figure, " ".join(_example_words(example) for example in chosen))


def augmentation(views: Floats) -> Picture:
    """Galaxies as stored, and their views in the first epochs, at most EPOCHS.

    views: [galaxies, 1 + epochs, S, S, 3] in [0, 1].
    """
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
    return png_of(figure, f"{galaxies} galaxies of the training part: each as stored, then in {columns - 1} views.")


def answer_name(column: int) -> str:
    """One of the 37 answers in words; those of the first question need no question."""
    number = next(number for number, span in enumerate(SPANS) if column < span.stop)
    answer = plain(QUESTIONS[number].answers[column - SPANS[number].start])
    return answer if number == 0 else f"{plain(QUESTIONS[number].name)}: {answer}"


def two_panels(height: float) -> tuple[Figure, Axes, Axes]:
    """A tall panel above a low one, over the same x."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    for axes in (above, below):
        axes.grid()
    figure.align_ylabels((above, below))
    return figure, above, below


def plain(name: str) -> str:
    """The name of a question or answer as text."""
    return name.replace("_", " ")


def png_of(figure: Figure, words: str) -> Picture:
    """A figure as a picture with these words."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    with Image.open(file) as image:
        return Picture(file.getvalue(), *image.size, words)


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def _plot_curve(axes: Axes, epochs: pd.Series, values: pd.Series, colour: str, name: str) -> str:
    axes.plot(epochs, values, ".-", color=colour, linewidth=1.2, markersize=4, label=name)
    first, last = int(epochs.iloc[0]), int(epochs.iloc[-1])
    what = f"RMSE of {name}: {values.iloc[0]:.4f} in epoch {first}"
    return f"{what}, {values.iloc[-1]:.4f} in epoch {last}, {values.min():.4f} at its lowest."


def _sheet(views: Floats, gap: int) -> Floats:
    """Views [rows, columns, S, S, 3] beside and below each other, on white."""
    rows, columns, side = views.shape[:3]
    padded = np.ones((rows, side + gap, columns, side + gap, 3))
    padded[:, :side, :, :side] = np.clip(views, 0, 1).swapaxes(1, 2)
    return padded.reshape(rows * (side + gap), columns * (side + gap), 3)[:-gap, :-gap]


def _shown(example: Example) -> list[int]:
    """The columns that an example shows: the first question's, and those two others that differ most."""
    differ = np.abs(example.predicted - example.people)
    differ[SPANS[0]] = -1
    return [*range(len(QUESTIONS[0].answers)), *np.argsort(-differ, kind="stable")[:2].tolist()]


def _draw_view(axes: Axes, example: Example) -> None:
    axes.imshow(np.clip(example.view, 0, 1))
    axes.set_axis_off()
    axes.set_title(_short(example.name), loc="left")


def _draw_answers(axes: Axes, example: Example) -> None:
    shown = _shown(example)
    rows = np.arange(len(shown))
    axes.barh(rows - 0.19, example.people[shown], 0.36, color=PEOPLE, label="people")
    axes.barh(rows + 0.19, example.predicted[shown], 0.36, color=PREDICTED, label="network")
    axes.set_yticks(rows, [answer_name(column) for column in shown], fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6))
    axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_title(f"RMSE {example.rmse:.3f}", loc="right")


def _example_words(example: Example) -> str:
    each = "; ".join(_pair(column, example.predicted, example.people) for column in _shown(example))
    return f"{example.name}, RMSE {example.rmse:.3f}: {each}."


def _pair(column: int, predicted: Floats, people: Floats) -> str:
    return f"{answer_name(column)} {predicted[column]:.2f} predicted, {people[column]:.2f} by people"


def _short(name: str, longest: int = 18) -> str:
    """A name that can be drawn on one line."""
    drawable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return drawable if len(drawable) <= longest else drawable[: longest - 1] + "…"
