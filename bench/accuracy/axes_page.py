"""The result of `bench.accuracy.axes` as a page, with a row for each choice."""

from typing import Any

from bench.publish.made_with import line_of
from bench.publish.markdown import interval, table

HEAD = """# What each choice of the recipe `best` is worth

The first row is `best` at {epochs} epochs; every other row changes what its name says. All were trained on the subset's
coarse labels and scored on the galaxies that have their own. *Lower by* is the paired difference from the first row,
with the 95 % interval of a bootstrap over galaxies and seeds. Intervals **in bold** leave 0 out: of twenty rows, about
one does so by chance. CPU time is that of one thread, without the final scoring; rows that differ only in the views
share a training.

[bench/README.md](../README.md) has the command.
"""


def page(result: dict[str, Any]) -> str:
    """The page of a result."""
    columns = ["choice", "kind", "RMSE", "lower by", "seeds", "CPU time, s"]
    rows = table(columns, [_cells(name, row) for name, row in result["rows"].items()])
    head = HEAD.format(epochs=result["start"]["run.epochs"])
    trained_by = sorted({release for row in result["rows"].values() for release in row["made_by"]})
    return "\n".join([head, rows, "", f"Trained by {'; '.join(trained_by)}.", "", line_of(result["made_with"])])


def difference(row: dict[str, Any]) -> str:
    """By how much a row's RMSE is lower than the first row's; in bold if the interval leaves 0 out."""
    if row["lower_by"] is None:
        return ""
    _, low, high = row["lower_by"]
    text = interval(row["lower_by"], "+.4f")
    return f"**{text}**" if low > 0 or high < 0 else text


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    return [name, row["axis"], f"{row['rmse']:.4f}", difference(row), str(row["seeds"]), f"{row['cpu_seconds']:.0f}"]
