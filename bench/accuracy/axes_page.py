"""What `axes.py` found, as a page: a row for each choice, by what it changes."""

from typing import Any

from bench.publish.made_with import line_of

HEAD = """# What each choice of the recipe `best` is worth

The first row is `best` at {epochs} epochs, every other one that with what its name says changed, trained on the
subset's coarse rows and scored on the galaxies whose own answers are known; *lower by* is the paired difference from
the first row, with the 95 % interval of a bootstrap over galaxies and seeds. **In bold** are intervals that leave 0
out: of twenty rows about one does so by chance. CPU time is that of one thread, without the final scoring; rows that
differ in the views alone share a training.

`{command}`
"""


def page(result: dict[str, Any]) -> str:
    """The page of a result as `axes.py` writes it."""
    lines = ["| choice | kind | RMSE | lower by | seeds | CPU time, s |", "|---|---|---|---|---|---|"]
    lines += [_line(name, row) for name, row in result["rows"].items()]
    head = HEAD.format(epochs=result["start"]["run.epochs"], command=result["command"])
    trained_by = sorted({release for row in result["rows"].values() for release in row["made_by"]})
    return "\n".join([head, *lines, "", f"Trained by {'; '.join(trained_by)}.", "", line_of(result["made_with"])])


def difference(row: dict[str, Any]) -> str:
    """By how much a row's RMSE is lower than the first one's; in bold where 0 is outside of the interval."""
    if row["lower_by"] is None:
        return ""
    middle, low, high = row["lower_by"]
    text = f"{middle:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _line(name: str, row: dict[str, Any]) -> str:
    cells = (name, row["axis"], f"{row['rmse']:.4f}", difference(row), str(row["seeds"]), f"{row['cpu_seconds']:.0f}")
    return f"| {' | '.join(cells)} |"
