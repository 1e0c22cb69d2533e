"""The picture of an ablation: how fast each row trains, and beside it what it has learned."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galaxy_triton.figures import DOTS_PER_INCH, PEOPLE, PREDICTED

Row = dict[str, Any]
WIDTH, HEAD, ROW_HEIGHT = 8.2, 0.85, 0.26  # inches
BAR = 0.68  # of a row's height


def bars(rows: list[Row], title: str) -> bytes:
    """A PNG: for each row that was measured a bar of images per second with its quartiles, and a point for its RMSE
    with the interval over seeds."""
    shown = [row for row in rows if not row["reason"]]
    learned = any(row.get("rmse") is not None for row in shown)
    figure = Figure((WIDTH, HEAD + ROW_HEIGHT * len(shown)), layout="constrained")
    left, *right = figure.subplots(1, 1 + learned, sharey=True, width_ratios=(3, 2)[: 1 + learned], squeeze=False)[0]
    _draw_speeds(left, shown)
    for axes in right:
        _draw_scores(axes, shown)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return file.getvalue()


def _draw_speeds(axes: Axes, rows: list[Row]) -> None:
    rates = [row["images_per_s"] for row in rows]
    below = [row["images_per_s"] - row["images_per_s_low"] for row in rows]
    above = [row["images_per_s_high"] - row["images_per_s"] for row in rows]
    axes.barh(
        range(len(rows)), rates, BAR, color=PREDICTED, xerr=(below, above), error_kw={"lw": 0.8, "ecolor": PEOPLE}
    )
    for place, row in enumerate(rows):
        axes.text(row["images_per_s_high"], place, f"  {row['images_per_s']:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["short"] for row in rows])
    axes.set(xlim=(0, 1.18 * max(row["images_per_s_high"] for row in rows)), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("images/s in training, with quartiles")
    axes.tick_params(axis="y", length=0)


def _draw_scores(axes: Axes, rows: list[Row]) -> None:
    scored = [(place, row) for place, row in enumerate(rows) if row.get("rmse") is not None]
    for place, row in scored:
        if row["rmse_low"] is not None:
            axes.plot((row["rmse_low"], row["rmse_high"]), (place, place), color=PREDICTED, lw=1.2)
    axes.plot([row["rmse"] for _, row in scored], [place for place, _ in scored], "o", color=PREDICTED, ms=4)
    axes.set_xlabel("RMSE after the same steps, with its interval")
    axes.grid(axis="both")
    axes.tick_params(axis="y", length=0)
