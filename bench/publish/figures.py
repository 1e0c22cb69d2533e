"""The figures of the pages: functions from the folder of results to Markdown, by the names of their marks."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

from bench.kernels.floors import SIZE, WARP
from bench.publish.kernel_tables import tables
from bench.publish.markdown import fill, interval, table
from bench.publish.suites import read

OUR_STEP = "galaxy-triton"  # bench.steps.rows.OURS, which needs torch to import


def first_run(results: Path) -> str:
    """What the first command printed, and how long it took."""
    result = _json(results, "first-run-cpu")
    closing = next(line for line in result["said"] if line.startswith("RMSE"))
    galaxies, bounds = re.findall(r": ([\d,]+\d)", closing)[0], re.findall(r"\[.*?\]", closing)[0]
    return fill(
        f"*The report of the first command: RMSE {result['rmse']:.4f} {bounds} on {galaxies} validation galaxies. "
        f"Predicting the mean scores {result['mean_answer']:.4f}; the volunteers' noise alone is "
        f"{result['noise_floor']:.4f}. The command took {result['seconds']['train']:.0f} s on {result['cores']} idle "
        "CPU cores, after installing.*"
    )


def scores(results: Path) -> str:
    """RMSE on the same galaxies: constants, a plain PyTorch loop, `best`, and `best` fine-tuned."""
    result = _json(results, "subset-cpu")
    found, tuned = result["evaluation"], result["fine_tuned"]["evaluation"]
    folds = len(result["fine_tuned"]["folds"]["folds"])
    plain_loop = found["rmse"][0] + found["comparison"]["lower"][0]
    fine_tuned = f"**the same, fine-tuned** on {folds - 1} of {folds} folds of these, scored on the other"
    rows = [
        ["all ones", f"{found['all_ones']:.4f}"],
        ["all zeros", f"{found['all_zeros']:.4f}"],
        ["mean of the training labels", _score(found["mean_answer"])],
        ["a plain PyTorch loop, same blocks, 24 epochs", f"{plain_loop:.4f}"],
        [f"**`train --recipe best`**, {found['views']} views", f"**{_score(found['rmse'])}**"],
        [fine_tuned, f"**{_score(tuned['rmse'])}**"],
    ]
    return table([f"on the same {found['galaxies']} galaxies", "RMSE [95 % interval]"], rows)


def subset(results: Path) -> str:
    """More of the same measurement: paired differences, times, the tree's sums, rotation."""
    result = _json(results, "subset-cpu")
    found, tuned = result["evaluation"], result["fine_tuned"]
    rms = found["consistency"]["rms_by_views"]
    largest = max(question["tree_largest"] for question in found["questions"].values())
    rows = [
        ["`best` is lower than the plain loop by", _score(found["comparison"]["lower"])],
        ["`best` fine-tuned is lower than the plain loop by", _score(tuned["evaluation"]["comparison"]["lower"])],
        ["training of `best`", f"{result['seconds']['train'] / 60:.1f} min"],
        ["fine-tuning, all folds", f"{tuned['seconds']['train']:.0f} s"],
        ["largest deviation from the tree's sums", f"{largest:.0e}"],
        [
            f"RMS change of the predictions, {found['consistency']['galaxies']} galaxies turned, 16 views",
            _score(rms["16"]),
        ],
        ["the same with 1 view", _score(rms["1"])],
    ]
    return f"{table(['on the same galaxies', 'value [95 % interval]'], rows)}\n\n{_made_with(result)}"


def sky(results: Path) -> str:
    """How near `best` comes to the volunteers' noise."""
    result = _json(results, "sky-cpu")
    middle, low, high = result["in_noise_floors"]
    hours = sum(float(line.split(",")[8]) for rows in result["metrics"].values() for line in rows[1:]) / 3600
    return fill(
        f"On a simulated sky of {result['count']:,} galaxies, `best` with a sixth block and without zoom and shift "
        f"scores {result['evaluation']['rmse'][0]:.4f} after {result['epochs']} epochs and {result['more']} of "
        f"fine-tuning: {middle:.2f} [{low:.2f}, {high:.2f}] times the volunteers' noise, which no network can beat. "
        f"The training took {hours:.1f} hours on {result['made_with']['cores']} CPU cores."
    )


def kernels(results: Path) -> str:
    """The tables of every machine on which the suites ran."""
    return tables(read(results))


def steps(results: Path) -> str:
    """Training steps in bursts that take turns, the fastest first."""
    result = _json(results, "step-cpu")
    fastest_first = sorted(result["rows"].items(), key=lambda item: -item[1]["images_per_s"])
    rows = [
        [
            name,
            f"{row['images_per_s']:.0f}",
            "1" if name == OUR_STEP else interval(row["time_of_ours"], ".2f"),
            row["differs"],
        ]
        for name, row in fastest_first
    ]
    head = [
        f"a step of {result['batch']} galaxies",
        "images/s",
        "time, ours = 1 [95 % interval]",
        "differs from ours in",
    ]
    return f"{table(head, rows)}\n\n{_made_with(result)}"


def counted(results: Path) -> str:
    """Work of the augmentation kernel, from its machine code and its addresses."""
    with (results / "instructions.csv").open(newline="") as handle:
        loops = [row for row in csv.DictReader(handle) if row["view"] == "full jitter"]
    loads = len(loops) * 4 * SIZE**2 / WARP
    lines = _json(results, "predicted")["work"]["gather"] / loads
    rows = [
        ["instructions", f"{sum(float(row['all']) for row in loops):.0f}"],
        ["conversions, reciprocals and roundings among them", f"{sum(float(row['xu']) for row in loops):.0f}"],
        ["cache lines that a warp's load touches", f"{lines:.1f}"],
    ]
    return table(["of a pixel of a view, sm_90, bf16, four jitters", "count"], rows)


def compiled(results: Path) -> str:
    """What Triton compiles each kernel to, ahead of time."""
    with (results / "compile.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    nvidia = [row for row in rows if row["target"].startswith("sm_")]
    named = {
        "augmentation, images of a store": [row for row in nvidia if row["pixels"] == "words"],
        "augmentation, any batch": [row for row in nvidia if row["pixels"] not in ("", "words")],
        **{kernel: [row for row in nvidia if row["kernel"] == kernel] for kernel in ("sigmoid_mse", "tree_mse")},
        "norm_relu_pool": [row for row in nvidia if not row["pixels"] and not row["kernel"].endswith("_mse")],
    }
    body = [[name, str(len(chosen)), _range(chosen), str(_spilled(chosen))] for name, chosen in named.items()]
    targets = ", ".join(dict.fromkeys(row["target"] for row in rows))
    text = f"Triton {rows[0]['triton']}; targets {targets}: {len(rows)} variants, {_spilled(rows)} of them spill."
    return f"{fill(text)}\n\n{table(['on NVIDIA', 'variants', 'registers a thread', 'spill'], body)}"


def predicted(results: Path) -> str:
    """Bounds of the augmentation's speed on GPUs, before it has run on one."""
    gpus = _json(results, "predicted")["gpus"]
    parts = list(next(iter(gpus.values()))["views_per_s"])
    rows = [[part, *(f"{gpu['views_per_s'][part] / 1e6:.1f}" for gpu in gpus.values())] for part in parts]
    expected = (" to ".join(f"{rate / 1e6:.1f}" for rate in gpu["expected_views_per_s"]) for gpu in gpus.values())
    return table(["million views a second at most, by", *gpus], [*rows, ["expected for large batches", *expected]])


def proofs(results: Path) -> str:
    """The long tests, by what they tried."""
    faults, kills = (_lines(results / f"{name}.csv") for name in ("faults", "kills"))
    refused = [line for line in _lines(results / "bad-input.md") if line.startswith("| ")]
    caught = sum(",yes," in line for line in faults)
    good = sum(line.endswith(",good") for line in kills)
    rows = [
        ["faults planted in the kernels, one at a time", f"{len(faults)}", f"{caught} caught by a daily test"],
        ["`kill -9` of a command, then run again", f"{len(kills)}", f"{good} end as if never killed"],
        ["bad inputs and wrong uses", f"{len(refused)}", "each ends with its name and what to do"],
    ]
    return table(["tried", "times", "result"], rows)


FIGURES: dict[str, Callable[[Path], str]] = {
    "first-run": first_run,
    "scores": scores,
    "subset": subset,
    "sky": sky,
    "kernels": kernels,
    "steps": steps,
    "counted": counted,
    "compiled": compiled,
    "predicted": predicted,
    "proofs": proofs,
}


def _json(results: Path, name: str) -> dict:
    return json.loads((results / f"{name}.json").read_text())


def _lines(file: Path) -> list[str]:
    """The lines of a table without its header."""
    return file.read_text().splitlines()[1:]


def _made_with(result: dict) -> str:
    made = result["made_with"]
    return fill(
        f"{made['cpu']}, {made['threads']} threads, torch {made['packages']['torch']}; commit {made['commit'][:12]}."
    )


def _score(values: list[float]) -> str:
    return interval(values, ".4f")


def _range(rows: list[dict[str, str]]) -> str:
    registers = [int(row["registers"]) for row in rows if row["registers"]]
    return f"{min(registers)} to {max(registers)}"


def _spilled(rows: list[dict[str, str]]) -> int:
    return sum(int(row["spilled"] or 0) > 0 for row in rows)
