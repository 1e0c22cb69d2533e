"""The figures of calibration: what people gave on average by what was predicted, of all answers and by question."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from galaxy_triton.evaluate.calibration import BINS, Bins
from galaxy_triton.evaluate.figures import PREDICTED, WIDTH, Picture, plain, png_of, two_panels

FEW = 20  # answers in a bin, below which its mean says little


def reliability(bins: Bins) -> Picture:
    """The mean fraction that people gave by the predicted one, above how many answers lie in each bin."""
    figure, above, below = two_panels(4.9)
    _plot(above, bins, 6)
    above.set(ylabel="mean fraction of people", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    centres = (np.arange(BINS) + 0.5) / BINS
    below.bar(centres, bins.counts, 0.9 / BINS, color="0.6")
    below.set(xlabel="predicted fraction", ylabel="answers", yscale="log", ylim=(0.8, None))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return png_of(figure, _words(bins))


def by_question(bins: dict[str, Bins], ece: dict[str, float]) -> Picture:
    """As `reliability`, a panel for each question; above it, its expected calibration error."""
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    panels = figure.subplots(4, 3, sharex=True, sharey=True).ravel()
    for axes, (name, of_question) in zip(panels, bins.items(), strict=False):
        _plot(axes, of_question, 4)
        axes.set_title(f"{plain(name)}\nECE {ece[name]:.3f}")
        axes.grid()
    for empty in panels[len(bins) :]:
        empty.set_axis_off()
    # the last of each column has the numbers
    for axes in panels[len(bins) - 3 : len(bins)]:
        axes.tick_params(labelbottom=True)
    panels[0].set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06))
    panels[0].set_xticks((0, 0.5, 1), ("0", "½", "1"))
    panels[0].set_yticks((0, 0.5, 1), ("0", "½", "1"))
    figure.supxlabel("predicted fraction", fontsize="medium")
    figure.supylabel("mean fraction of people", fontsize="medium")
    words = "; ".join(f"{plain(name)} {error:.3f}" for name, error in ece.items())
    return png_of(figure, f"Expected calibration error: {words}.")


def _plot(axes: Axes, bins: Bins, size: float) -> None:
    """The bins' means beside the diagonal, hollow where they say little. size: of a dot, points."""
    many = bins.counts >= FEW
    axes.plot((0, 1), (0, 1), color="0.6", linewidth=1)
    axes.plot(bins.predicted[many], bins.people[many], "o-", color=PREDICTED, markersize=size)
    axes.plot(bins.predicted[~many], bins.people[~many], "o", color=PREDICTED, markersize=size, markerfacecolor="white")


def _words(bins: Bins) -> str:
    filled = np.flatnonzero(bins.counts)
    each = (f"{bins.predicted[i]:.2f} predicted, {bins.people[i]:.2f} given ({bins.counts[i]:,})" for i in filled)
    return f"Mean fractions by bin, and how many answers: {'; '.join(each)}."
