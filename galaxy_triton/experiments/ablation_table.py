"""The rows of an ablation as figures: a table for the terminal, CSV, JSON, and a picture."""

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table as RichTable

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import to_dict
from galaxy_triton.evaluate import figures
from galaxy_triton.experiments.ablation_pipeline import differences
from galaxy_triton.experiments.ablation_plot import bars
from galaxy_triton.experiments.ablation_row import Measured
from galaxy_triton.experiments.ablation_rows import Row
from galaxy_triton.experiments.profile_shares import COMPILED, COPIES, IDLE, NORM, OTHER, PRODUCT
from galaxy_triton.model.backend import Backend
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.whole_files import whole_file

CSV, JSON, PNG = "ablation.csv", "ablation.json", "ablation.png"
# Student's t, two-sided 95 %, by degrees of freedom from 1.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
LABEL = 24  # letters of a row's label that are not broken
SHARE = "share: "  # begins the names of columns, one a kind of work

Figures = dict[str, Any]
Columns = dict[str, Callable[[Figures], str]]


class Limits(NamedTuple):
    """The operations of an image, and the measured rate of a large matrix product by the precision of a row."""

    flops_per_image: float
    product_tflops: dict[str, float]


class Result(NamedTuple):
    """A row of the ladder, and what was measured of it or why it was not."""

    row: Row
    measured: Measured | None
    reason: str


class Table(NamedTuple):
    """All rows, in their order, and what they were measured with."""

    config: Config
    backend: Backend
    limits: Limits
    results: tuple[Result, ...]


def write(folder: Path, table: Table) -> None:
    """ablation.csv, ablation.json and, when a row was measured, ablation.png, each whole or not at all.

    Raises:
        DataFault: the folder cannot be written.
    """
    rows = rows_of(table)
    with whole_file(folder / CSV) as file:
        file.write_text(_csv(rows), encoding="utf-8", newline="")
    with whole_file(folder / JSON) as file:
        file.write_text(json.dumps(_json(table, rows), indent=1) + "\n")
    if any(not row["reason"] for row in rows):
        with figures.style():
            picture = bars(rows, _title(table))
        with whole_file(folder / PNG) as file:
            file.write_bytes(picture)


def shown(rows: list[Figures], steps: int) -> list[RichTable]:
    """What was measured, for a terminal: how fast and how well, and where the time of a step goes."""
    measured = [row for row in rows if not row["reason"]]
    named = SPEEDS | {f"RMSE after {steps}": _score}
    return [_table(measured, columns) for columns in (named, SHARES) if measured]


def absences(rows: list[Figures]) -> list[str]:
    """A line for each row that was not measured, with its reason."""
    return [f"absent: {row['label']}: {row['reason']}" for row in rows if row["reason"]]


def remarks(rows: list[Figures]) -> list[str]:
    """The labels that the terminal's table cuts short."""
    return [row["label"] for row in rows if row["label"] != row["short"] and not row["reason"]]


def rows_of(table: Table) -> list[Figures]:
    """Every row as plain figures, in columns that all have; None where a row has none. Speeds are beside the first row
    that was measured."""
    first = next((result.measured for result in table.results if result.measured is not None), None)
    rows = [_figures(result, table.limits, first) for result in table.results]
    columns = [*dict.fromkeys(name for row in rows for name in row if name != "reason"), "reason"]
    return [{name: row.get(name) for name in columns} for row in rows]


def mean_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and the 95 % interval of Student's t; of a single value nan."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, math.nan, math.nan
    half = T95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _share(*kinds: str) -> Callable[[Figures], str]:
    def cell(row: Figures) -> str:
        found = [share for kind in kinds if (share := row.get(SHARE + kind)) is not None]
        return f"{sum(found):.0%}" if found else ""

    return cell


def _percent(name: str) -> Callable[[Figures], str]:
    return lambda row: "" if row.get(name) is None else f"{row[name]:.1%}"


def _score(row: Figures) -> str:
    if row.get("rmse") is None:
        return ""
    half = "" if row["rmse_low"] is None else f" ± {row['rmse_high'] - row['rmse']:.4f}"
    return f"{row['rmse']:.4f}{half}"


# What stands in a cell of the terminal's tables; a column of empty cells is left out.
SPEEDS: Columns = {
    "images/s": lambda row: f"{row['images_per_s']:,.0f}",
    "times": lambda row: f"{row['speed']:.2f}",
    "ms": lambda row: f"{row['ms_a_step']:.1f}",
    "waiting": _percent("waiting_for_data"),
    "peak MiB": lambda row: f"{row['peak_memory_mib']:,.0f}",
}
SHARES: Columns = {
    "augment": _share("augmentation"),
    "products": _share(PRODUCT),
    "norm, pool": _share(NORM),
    "compiled": _share(COMPILED),
    "loss": _share("loss"),
    "optimiser": _share("optimiser"),
    "other": _share(COPIES, OTHER),
    "idle": _share(IDLE),
    "of product": _percent("mfu_measured"),
}


def _table(rows: list[Figures], columns: Columns) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("share of a step" if columns is SHARES else "training step", min_width=LABEL)
    kept = {name: cell for name, cell in columns.items() if any(cell(row) for row in rows)}
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["short"], *(cell(row) for cell in kept.values()))
    return table


def _figures(result: Result, limits: Limits, first: Measured | None) -> Figures:
    names = {"row": result.row.key, "label": result.row.label, "short": result.row.label.partition(" (")[0]}
    if result.measured is None or first is None:
        return {**names, "reason": result.reason}
    m, way = result.measured, result.row.way
    low, rate, high = m.images_per_s
    return {
        **names,
        "images_per_s": rate,
        "images_per_s_low": low,
        "images_per_s_high": high,
        "speed": rate / first.images_per_s[1],
        "ms_a_step": 1e3 * m.batch / rate,
        "first_step_s": m.first_step_s,
        "waiting_for_data": m.waiting,
        "peak_memory_mib": m.peak_mib,
        **_utilisation(rate, limits, m.chosen["precision"]),
        **_learned(m.rmse),
        "pixels": way and way.pixels,
        "layout": way and way.layout,
        **m.chosen,
        **{SHARE + kind: share for kind, share in m.shares.items()},
        "reason": "",
    }


def _utilisation(rate: float, limits: Limits, precision: str) -> Figures:
    found = limits.product_tflops.get(precision)
    return {} if found is None else {"mfu_measured": rate * limits.flops_per_image / (found * 1e12)}


def _learned(rmse: Sequence[float]) -> Figures:
    if not rmse:
        return {}
    mean, low, high = mean_with_interval(rmse)
    several = len(rmse) > 1
    return {
        "rmse": mean,
        "rmse_low": low if several else None,
        "rmse_high": high if several else None,
        "rmse_of_seeds": " ".join(f"{value:.6f}" for value in rmse),
    }


def _csv(rows: list[Figures]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in row.items()})
    return file.getvalue()


def _json(table: Table, rows: list[Figures]) -> Figures:
    return {
        "made_with": provenance(),
        "machine": table.backend.lines(),
        "config": to_dict(table.config),
        "seeds_views_differ": differences(table.config.augmentation),
        "flops_per_image": table.limits.flops_per_image,
        "product_tflops": table.limits.product_tflops,
        "rows": rows,
    }


def _title(table: Table) -> str:
    run, device = table.config.run, table.backend.device_why if table.backend.device.type == "cuda" else "CPU"
    return f"{table.config.recipe}, batches of {run.batch_size}, {device.split(',')[0]}"
