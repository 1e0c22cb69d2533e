"""The result of `bench.accuracy.seed_score` as a page: each cause alone, and what reproduces the write-up's score."""

from typing import Any

from bench.publish.made_with import line_of
from bench.publish.markdown import interval, table

RECIPE, EVALUATION = "the recipe", "in evaluation"

HEAD = """# Why the write-up's network scored 0.186

Answering the mean scored 0.164 on the challenge's galaxies; the write-up's network scored 0.1861, which is {worse:.3f}
mean answers. Each candidate cause was put into a small form of the recipe `seed`: {size} px images, {view} px views,
blocks of {widths}, {epochs} epochs, trained on the subset's coarse rows and scored on {galaxies} galaxies whose own
answers are known, {seeds} seeds. Scores are in mean answers of the same galaxies, with 95 % intervals of a bootstrap
over galaxies and seeds; above 1 is worse than answering the mean. The labels are not the challenge's: this shows what
a cause can do, not what happened.

[bench/README.md](../README.md) has the command.
"""


def page(result: dict[str, Any]) -> str:
    """The page of a result."""
    rows = result["rows"]
    asked = [row for row in rows if row["training"] == RECIPE]
    trained = [row for row in rows if row["asked"] == EVALUATION]
    parts = (
        _head(result),
        "## What changes how it is asked\n\nThe recipe's network, which is the same in all rows.\n",
        _table("asked", asked),
        "## What changes how it is trained\n\nEach asked in evaluation: dropout off, one centred view.\n",
        _table("training", trained),
        "## What reproduces it\n",
        _verdict(rows, result["to_reproduce"]),
        line_of(result["made_with"]),
    )
    return "\n".join(parts)


def _head(result: dict[str, Any]) -> str:
    small = result["small"]
    return HEAD.format(
        worse=result["to_reproduce"],
        size=small["preprocess.size"],
        view=small["augmentation.size"],
        widths="-".join(map(str, small["network.widths"])),
        epochs=small["run.epochs"],
        galaxies=result["galaxies"],
        seeds=result["seeds"],
    )


def _table(key: str, rows: list[dict[str, Any]]) -> str:
    cells = [[row[key], f"{row['rmse']:.4f}", _ratio(row)] for row in rows]
    return table([key, "RMSE", "in mean answers"], cells) + "\n"


def _verdict(rows: list[dict[str, Any]], worse: float) -> str:
    """Every combination whose interval holds the write-up's score, the nearest first."""
    found = sorted(
        (row for row in rows if row["reproduces"]), key=lambda row: abs(float(row["in_mean_answers"][0]) - worse)
    )
    if not found:
        return f"Nothing that was tried: no interval holds {worse:.3f}.\n"
    text = f"Of {len(rows)} combinations the intervals of these hold {worse:.3f}:\n\n"
    cells = [[row["training"], row["asked"], _ratio(row)] for row in found]
    return text + table(["training", "asked", "in mean answers"], cells) + "\n"


def _ratio(row: dict[str, Any]) -> str:
    return interval(row["in_mean_answers"], ".3f")
