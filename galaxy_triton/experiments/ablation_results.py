"""The results of an ablation: CSV, JSON and a picture in its folder, and tables on the terminal."""

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import to_dict
from galaxy_triton.evaluate import figures
from galaxy_triton.experiments.ablation_measure import Measurement
from galaxy_triton.experiments.ablation_plot import bars
from galaxy_triton.experiments.ablation_rows import Row
from galaxy_triton.experiments.writeup_pipeline import differences
from galaxy_triton.model.backend import Backend
from galaxy_triton.system.console import Display
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.whole_files import whole_file, write_text

CSV, JSON, PNG = "ablation.csv", "ablation.json", "ablation.png"
# Student's t, two-sided 95 %, by degrees of freedom from 1.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
LABEL = 24  # least width of the labels in the terminal's tables, in letters
SHARE = "share: "  # prefix of the columns that hold shares of a step's time

Record = dict[str, Any]  # a row of the CSV, by column
# Columns of the terminal's tables: heading -> column of a record, format.
SPEEDS = {
    "images/s": ("images_per_s", ",.0f"),
    "times": ("speed", ".2f"),
    "ms": ("ms_a_step", ".1f"),
    "waiting": ("waiting_for_data", ".1%"),
    "peak MiB": ("peak_memory_mib", ",.0f"),
    "of product": ("mfu_measured", ".1%"),
    "RMSE": ("rmse", ".4f"),
    "from": ("rmse_low", ".4f"),
    "to": ("rmse_high", ".4f"),
}


@dataclass(frozen=True)
class Setting:
    """What all rows have in common.

    product_tflops: rate of a large matrix product, 10^12 operations a second, by precision.
    """

    config: Config
    backend: Backend
    flops_per_image: float
    product_tflops: dict[str, float]


class Result(NamedTuple):
    """A row and its figures; None where the row has a reason."""

    row: Row
    measured: Measurement | None


def records_of(results: Sequence[Result], setting: Setting) -> list[Record]:
    """A record for each row, all with the same columns; None where a row has no value. Column "speed" is relative to
    the first row that was measured."""
    first = next((result.measured.images_per_s[1] for result in results if result.measured is not None), math.nan)
    records = [_record(result, setting, first) for result in results]
    columns = [*dict.fromkeys(name for record in records for name in record if name != "reason"), "reason"]
    return [{name: record.get(name) for name in columns} for record in records]


def write_results(folder: Path, records: list[Record], setting: Setting) -> None:
    """Write ablation.csv, ablation.json and, if a row was measured, ablation.png, each whole or not at all.

    Raises:
        DataFault: the folder cannot be written.
    """
    write_text(folder / CSV, _csv(records))
    write_text(folder / JSON, json.dumps(_json(records, setting), indent=1) + "\n")
    if any(not record["reason"] for record in records):
        with figures.style():
            picture = bars(records, _title(setting))
        with whole_file(folder / PNG) as file:
            file.write_bytes(picture)


def show_results(records: list[Record], display: Display) -> None:
    """Print two tables of the rows that were measured, and a line for each row that was not."""
    measured = [record for record in records if not record["reason"]]
    shares = [name for name in records[0] if name.startswith(SHARE)]
    if measured:
        display.show(_table("training step", measured, SPEEDS))
        display.show(_table("share of a step", measured, {name.removeprefix(SHARE): (name, ".0%") for name in shares}))
    display.note("times: the speed relative to the first row; from, to: Student's 95 % interval of the RMSE over seeds")
    display.note("of product: operations a second, relative to a large matrix product on this device")
    for record in measured:
        if record["label"] != record["short"]:
            display.say(record["label"])
    for record in records:
        if record["reason"]:
            display.say(f"absent: {record['label']}: {record['reason']}")


def mean_with_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean and the 95 % interval of Student's t, which a single value does not have."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, None, None
    half = T95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _record(result: Result, setting: Setting, first: float) -> Record:
    row, m = result
    names = {"row": row.key, "label": row.label, "short": row.label.partition(" (")[0], "reason": row.reason}
    if m is None:
        return names
    low, rate, high = m.images_per_s
    return {
        **names,
        "images_per_s": rate,
        "images_per_s_low": low,
        "images_per_s_high": high,
        "speed": rate / first,
        "ms_a_step": 1e3 * m.batch / rate,
        "first_step_s": m.first_step_s,
        "waiting_for_data": m.waiting,
        "peak_memory_mib": m.peak_mib,
        **_utilisation(rate, setting, m.chosen["precision"]),
        **_learned(m.rmse),
        "pixels": row.variant.pixels,
        "layout": row.variant.layout,
        **m.chosen,
        **{SHARE + kind: share for kind, share in m.shares.items()},
    }


def _utilisation(rate: float, setting: Setting, precision: str) -> Record:
    """The share of the rate of a large matrix product."""
    peak = setting.product_tflops.get(precision)
    return {} if peak is None else {"mfu_measured": rate * setting.flops_per_image / (peak * 1e12)}


def _learned(rmse: Sequence[float]) -> Record:
    if not rmse:
        return {}
    values = dict(zip(("rmse", "rmse_low", "rmse_high"), mean_with_interval(rmse), strict=True))
    return {**values, "rmse_of_seeds": " ".join(f"{value:.6f}" for value in rmse)}


def _csv(records: list[Record]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in record.items()})
    return file.getvalue()


def _json(records: list[Record], setting: Setting) -> Record:
    return {
        "made_with": provenance(),
        "machine": setting.backend.lines(),
        "config": to_dict(setting.config),
        "seeds_views_differ": differences(setting.config.augmentation),
        "flops_per_image": setting.flops_per_image,
        "product_tflops": setting.product_tflops,
        "rows": records,
    }


def _title(setting: Setting) -> str:
    config, backend = setting.config, setting.backend
    device = backend.device_why.split(",")[0] if backend.device.type == "cuda" else "CPU"
    return f"{config.recipe}, batches of {config.run.batch_size}, {device}"


def _table(title: str, records: list[Record], columns: dict[str, tuple[str, str]]) -> Table:
    """A table of the columns in which at least one row has a value."""
    filled = {
        heading: (name, spec)
        for heading, (name, spec) in columns.items()
        if any(record.get(name) is not None for record in records)
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(title, min_width=LABEL)
    for heading in filled:
        table.add_column(heading, justify="right")
    for record in records:
        values = ((record.get(name), spec) for name, spec in filled.values())
        table.add_row(record["short"], *("" if value is None else f"{value:{spec}}" for value, spec in values))
    return table
