"""The tables of the benchmark suites, in Markdown: a section for each machine."""

from collections.abc import Callable, Iterable

from bench.publish.markdown import fill, table

NOT_RUN = "The kernels have not run on a GPU yet, so nothing is known of their speed."
OURS, REFERENCE = "Triton, drawing its own", "torch reference"
AUGMENT = "augment"

Row = dict
# Title -> function from a row and the row to compare with (None if it was not measured) to the cell's text.
Columns = dict[str, Callable[[Row, Row | None], str]]


def tables(results: list[Row]) -> str:
    """A section for each result; first a warning if none is from a GPU."""
    opening = [] if any(result["made_with"]["gpu"] for result in results) else [NOT_RUN]
    return "\n\n".join([*opening, *(part for result in results for part in section(result))])


def section(result: Row) -> list[str]:
    """The parts of one result: machine and versions, the tables, the rows left out with their reasons."""
    augment = [row for row in result["rows"] if row["what"] == AUGMENT]
    losses = [row for row in result["rows"] if row["what"] != AUGMENT]
    gpu = result["made_with"]["gpu"]
    measured = [_augment_table(augment, gpu), _by_batch(augment), _losses_table(losses, gpu)]
    parts = [_made_with(result), *measured, _left_out(result["left_out"], result["rows"])]
    return [part for part in parts if part]


def _made_with(result: Row) -> str:
    made = result["made_with"]
    versions = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    where = made["gpu"] or f"{made['cpu']}, {made['threads']} threads"
    tree = f"commit {(made['commit'] or 'unknown')[:12]}" + (" with changes" if made["changed"] else "")
    return fill(f"**{where}**: {versions}; {tree}; load {made.get('load', 0)} before.")


def _augment_table(rows: list[Row], gpu: str | None) -> str:
    """The rows of the most frequent batch size, the fastest first."""
    batches = [row["batch"] for row in rows]
    usual = [row for row in rows if row["batch"] == max(batches, key=batches.count)]
    columns, base_name = (ON_GPU, OURS) if gpu else (ON_CPU, REFERENCE)
    base = next((row for row in usual if row["row"] == base_name), None)
    scenes = {f"{row['batch']} views {row['size']} px from {row['side']} px, {row['dtype']}" for row in usual}
    fastest_first = sorted(usual, key=lambda row: -row["images_per_s"])
    body = [[row["row"], *(cell(row, base) for cell in columns.values())] for row in fastest_first]
    return table([*scenes, *columns], body)


def _by_batch(rows: list[Row]) -> str:
    """Images per second of the rows that were measured with several batch sizes."""
    batches = sorted({row["batch"] for row in rows})
    named = {name: {row["batch"]: row for row in rows if row["row"] == name} for name in _unique(rows, "row")}
    body = [
        [name, *(_number(found[batch]["images_per_s"]) if batch in found else "" for batch in batches)]
        for name, found in named.items()
        if len(found) > 1
    ]
    return table(["images/s at a batch of", *map(str, batches)], body)


def _losses_table(rows: list[Row], gpu: str | None) -> str:
    batches = sorted({row["batch"] for row in rows})
    unit, cell = ("µs on the device / wall", _both_times) if gpu else ("µs [quartiles]", _wall_time)
    cells = {(row["what"], row["row"], row["batch"]): cell(row) for row in rows}
    named = dict.fromkeys((row["what"], row["row"]) for row in rows)
    body = [[f"{what}: {name}", *(cells.get((what, name, batch), "") for batch in batches)] for what, name in named]
    return table([f"value and gradient, {unit}", *(f"{batch} rows of 37" for batch in batches)], body)


def _left_out(entries: list[Row], rows: list[Row]) -> str:
    """One sentence: the rows not measured, grouped by reason."""
    measured = _unique(rows, "what")
    named: dict[str, list[str]] = {}
    for entry in entries:
        row = entry["row"] if entry["what"] == AUGMENT else f"{entry['what']}: {entry['row']}"
        named.setdefault(entry["reason"], []).append(row if entry["what"] in measured else entry["what"])
    parts = (f"{'; '.join(dict.fromkeys(names))} ({reason})" for reason, names in named.items())
    return fill("Not measured: " + "; ".join(parts) + ".") if named else ""


def _speed_of(row: Row, base: Row | None) -> str:
    return _number(row["images_per_s"] / base["images_per_s"]) if base else ""


def _lead_over(row: Row, base: Row | None) -> str:
    return _number(base["images_per_s"] / row["images_per_s"]) if base else ""


ON_CPU: Columns = {
    "images/s": lambda row, _: _number(row["images_per_s"]),
    "ms [quartiles]": lambda row, _: _times(row["wall_us"], 1e3),
    f"speed, {REFERENCE} = 1": _speed_of,
    "peak MiB by torch": lambda row, _: _number(row["memory_mib"]),
    "differs from ours in": lambda row, _: row["differs"],
}
ON_GPU: Columns = {
    "images/s": lambda row, _: _number(row["images_per_s"]),
    "µs on the device [quartiles]": lambda row, _: _device_time(row),
    "µs wall": lambda row, _: _number(row["wall_us"][1]),
    "ours is faster by": _lead_over,
    "of the tightest floor": lambda row, _: _of_floor(row),
    "launches": lambda row, _: str(row["kernels"] or ""),
    "peak MiB by torch": lambda row, _: _number(row["memory_mib"]),
    "differs from ours in": lambda row, _: row["differs"],
}


def _of_floor(row: Row) -> str:
    return f"{row['of_floor']:.0%}, {row['tightest_floor']}" if "of_floor" in row else ""


def _device_time(row: Row) -> str:
    return _times(row["device_us"], 1) + ("" if row["host_ahead"] else " with the host's part")


def _both_times(row: Row) -> str:
    return f"{_number(row['device_us'][1])} / {_number(row['wall_us'][1])}"


def _wall_time(row: Row) -> str:
    return _times(row["wall_us"], 1)


def _times(quartiles_us: list[float], unit_us: float) -> str:
    low, middle, high = (_number(value / unit_us) for value in quartiles_us)
    return f"{middle} [{low}, {high}]"


def _number(value: float) -> str:
    """To three digits, in full: 3,140,000 and 0.0314."""
    return f"{float(f'{value:.3g}'):,.10g}" if value >= 100 else f"{value:.3g}"


def _unique(rows: Iterable[Row], name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in rows))
