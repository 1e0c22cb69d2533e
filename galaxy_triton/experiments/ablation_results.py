"""The results of an ablation: CSV, JSON and a picture in its folder, and a table on the terminal."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from galaxy_triton.evaluate import figures
from galaxy_triton.experiments.ablation_measure import Record
from galaxy_triton.experiments.ablation_plot import bars
from galaxy_triton.experiments.ablation_rows import Row
from galaxy_triton.system.console import Display
from galaxy_triton.system.whole_files import whole_file, write_text

CSV, JSON, PNG = "ablation.csv", "ablation.json", "ablation.png"
# Columns of the terminal's table: heading -> column of a record, format.
COLUMNS = {
    "images/s": ("images_per_s", ",.0f"),
    "times": ("speed", ".2f"),
    "ms": ("ms_a_step", ".1f"),
    "waiting": ("waiting_for_data", ".1%"),
    "peak MiB": ("peak_memory_mib", ",.0f"),
    "product": ("mfu_measured", ".1%"),
    "RMSE": ("rmse", ".4f"),
}


def record_of(row: Row, measured: Record, reason: str = "") -> Record:
    """A row of the CSV by column. reason: why it was not measured."""
    return {"row": row.key, "label": row.label, "short": row.label.partition(" (")[0], **measured, "reason": reason}


def write_results(folder: Path, records: list[Record], about: dict[str, Any], title: str) -> None:
    """Write ablation.csv, ablation.json and, if a row was measured, ablation.png, each whole or not at all.

    Args:
        about: what all rows have in common, for the JSON.
        title: of the picture.

    Raises:
        DataFault: the folder cannot be written.
    """
    columns = [*dict.fromkeys(name for record in records for name in record if name != "reason"), "reason"]
    rows = [{name: record.get(name) for name in columns} for record in records]
    write_text(folder / CSV, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(folder / JSON, json.dumps(about | {"rows": rows}, indent=1) + "\n")
    if any(not record["reason"] for record in records):
        with figures.style():
            picture = bars(records, title)
        with whole_file(folder / PNG, replace=True) as file:
            file.write_bytes(picture)


def show_results(records: list[Record], display: Display) -> None:
    """Print a table of the rows that were measured, and a line for each row that was not."""
    measured = [record for record in records if not record["reason"]]
    if measured:
        display.show(_table(measured))
    display.note("times: the speed relative to the first row; product: operations a second,")
    display.note("relative to a large matrix product on this device; RMSE: with Student's 95 %")
    display.note("interval over seeds")
    for record in measured:
        if record["label"] != record["short"]:
            display.say(record["label"])
    for record in records:
        if record["reason"]:
            display.say(f"absent: {record['label']}: {record['reason']}")


def _table(records: list[Record]) -> list[tuple[str, ...]]:
    """A table, head first, of the columns in which at least one row has a value."""
    known = {name for record in records for name, value in record.items() if value is not None}
    columns = {heading: (name, spec) for heading, (name, spec) in COLUMNS.items() if name in known}
    rows = ((record["short"], *(_cell(record, *column) for column in columns.values())) for record in records)
    return [("training step", *columns), *rows]


def _cell(record: Record, name: str, spec: str) -> str:
    text = "" if record.get(name) is None else f"{record[name]:{spec}}"
    interval = name == "rmse" and record.get("rmse_low") is not None
    return text + (f" [{record['rmse_low']:{spec}}, {record['rmse_high']:{spec}}]" if interval else "")
