"""The picture of an ablation: how fast each row trains, and beside it what it has learned."""

import io
import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from galaxy_triton.evaluate.figures import DOTS_PER_INCH, MEAN_ANSWER, NOISE_FLOOR, PEOPLE, PREDICTED
from galaxy_triton.experiments.ablation_rows import ALONE, MINUS

Row = dict[str, Any]
WIDTH, HEAD, ROW_HEIGHT = 8.2, 0.85, 0.26  # inches
BAR, GAP = 0.68, 0.5  # of a row's height; between the parts of the ladder


def bars(rows: list[Row], title: str) -> bytes:
    """A PNG: for each row that was measured a bar of images per second with its quartiles, and a point for its RMSE
    with the interval over seeds."""
    shown = [row for row in rows if not row["reason"]]
    learned = any(row.get("rmse") is not None for row in shown)
    figure = Figure((WIDTH, HEAD + ROW_HEIGHT * len(shown)), layout="constrained")
    left, *right = figure.subplots(1, 1 + learned, sharey=True, width_ratios=(3, 2)[: 1 + learned], squeeze=False)[0]
    places, colours = _places(shown), [_colour(row["row"]) for row in shown]
    _draw_speeds(left, shown, places, colours)
    for axes in right:
        _draw_scores(axes, shown, places, colours)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return file.getvalue()


def _colour(key: str) -> str:
    return NOISE_FLOOR if key == ALONE else MEAN_ANSWER if key.startswith(MINUS) else PREDICTED


def _places(rows: list[Row]) -> list[float]:
    """Of each row from the top; a gap where another part of the table begins."""
    places = [0.0]
    for before, after in itertools.pairwise(rows):
        places.append(places[-1] + 1 + GAP * (_colour(before["row"]) != _colour(after["row"])))
    return places


def _draw_speeds(axes: Axes, rows: list[Row], places: list[float], colours: list[str]) -> None:
    rates = [row["images_per_s"] for row in rows]
    below = [row["images_per_s"] - row["images_per_s_low"] for row in rows]
    above = [row["images_per_s_high"] - row["images_per_s"] for row in rows]
    line = {"lw": 0.8, "ecolor": PEOPLE}
    axes.barh(places, rates, BAR, color=colours, xerr=(below, above), error_kw=line)
    for place, row in zip(places, rows, strict=True):
        axes.text(row["images_per_s_high"], place, f"  {row['images_per_s']:,.0f}", va="center", fontsize=8)
    axes.set_yticks(places, [row["short"] for row in rows])
    axes.set(xlim=(0, 1.18 * max(row["images_per_s_high"] for row in rows)), ylim=(places[-1] + 0.6, -0.6))
    axes.set_xlabel("images/s, median and quartiles")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="y", length=0)


def _draw_scores(axes: Axes, rows: list[Row], places: list[float], colours: list[str]) -> None:
    for row, place, colour in zip(rows, places, colours, strict=True):
        if row.get("rmse_low") is not None:
            axes.plot((row["rmse_low"], row["rmse_high"]), (place, place), color=colour, lw=1.2)
        if row.get("rmse") is not None:
            axes.plot(row["rmse"], place, "o", color=colour, ms=4)
    axes.set_xlabel("RMSE, interval over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
