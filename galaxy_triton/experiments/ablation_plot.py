"""The picture of an ablation: how fast each row trains, and beside it the RMSE after training."""

import io
import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from galaxy_triton.evaluate.figures import DOTS_PER_INCH, MEAN_ANSWER, NOISE_FLOOR, PEOPLE, PREDICTED
from galaxy_triton.experiments.ablation_measure import Record
from galaxy_triton.experiments.ablation_rows import COMPILE_ONLY, MINUS

WIDTH, HEAD, ROW_HEIGHT = 8.2, 0.85, 0.26  # inches
BAR, GAP = 0.68, 0.5  # in heights of a row; the gap is between groups of rows


def bars(records: list[Record], title: str) -> bytes:
    """A PNG: for each row that was measured, a bar of images per second with its quartiles, and a point for its RMSE
    with the interval over seeds."""
    shown = [record for record in records if not record["reason"]]
    learned = any(record.get("rmse") is not None for record in shown)
    figure = Figure((WIDTH, HEAD + ROW_HEIGHT * len(shown)), layout="constrained")
    left, *right = figure.subplots(1, 1 + learned, sharey=True, width_ratios=(3, 2)[: 1 + learned], squeeze=False)[0]
    colours = [_colour(record["row"]) for record in shown]
    heights = [1 + GAP * (above != below) for above, below in itertools.pairwise(colours)]
    places = list(itertools.accumulate(heights, initial=0.0))
    _draw_speeds(left, shown, places, colours)
    for axes in right:
        _draw_scores(axes, shown, places, colours)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return file.getvalue()


def _colour(key: str) -> str:
    """One colour for each group of rows."""
    return NOISE_FLOOR if key == COMPILE_ONLY else MEAN_ANSWER if key.startswith(MINUS) else PREDICTED


def _draw_speeds(axes: Axes, records: list[Record], places: list[float], colours: list[str]) -> None:
    rates, lows, highs = (
        [record[name] for record in records] for name in ("images_per_s", "images_per_s_low", "images_per_s_high")
    )
    below = [rate - low for rate, low in zip(rates, lows, strict=True)]
    above = [high - rate for rate, high in zip(rates, highs, strict=True)]
    axes.barh(places, rates, BAR, color=colours, xerr=(below, above), error_kw={"lw": 0.8, "ecolor": PEOPLE})
    for place, rate, high in zip(places, rates, highs, strict=True):
        axes.text(high, place, f"  {rate:,.0f}", va="center", fontsize=8)
    axes.set_yticks(places, [record["short"] for record in records])
    axes.set(xlim=(0, 1.18 * max(highs)), ylim=(places[-1] + 0.6, -0.6))
    axes.set_xlabel("images/s, median and quartiles")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="y", length=0)


def _draw_scores(axes: Axes, records: list[Record], places: list[float], colours: list[str]) -> None:
    for record, place, colour in zip(records, places, colours, strict=True):
        if record.get("rmse_low") is not None:
            axes.plot((record["rmse_low"], record["rmse_high"]), (place, place), color=colour, lw=1.2)
        if record.get("rmse") is not None:
            axes.plot(record["rmse"], place, "o", color=colour, ms=4)
    axes.set_xlabel("RMSE, interval over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
