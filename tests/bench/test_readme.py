"""The README against what it speaks of: figures against result files, commands against the command line."""

import csv
import json
import re
from pathlib import Path

import click

from bench.kernels import floors
from bench.publish import publish
from galaxy_triton.cli.main import main
from tests.bad_input.table import CASES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def interval(values: list[float]) -> str:
    middle, low, high = values
    return f"{middle:.4f} [{low:.4f}, {high:.4f}]"


def test_figures_are_those_of_the_results() -> None:
    result = json.loads((ROOT / "bench" / "results" / "subset-cpu.json").read_text())
    found, tuned = result["evaluation"], result["fine_tuned"]
    text = " ".join(README.split())
    for row, name in ((found, "**`train --recipe best`, 16 views**"), (tuned["evaluation"], "in 5 folds**")):
        score, low, high = row["rmse"]
        assert f"{name} | **{score:.4f}** [{low:.4f}, {high:.4f}] |" in text
        assert f"lower than the plain loop by {interval(row['comparison']['lower'])}" in text
    for figure in (
        f"trained for {result['seconds']['train'] / 60:.1f} minutes",
        f"took {tuned['seconds']['train']:.0f} seconds more",
        f"at most {max(row['tree_largest'] for row in found['questions'].values()):.0e}",
        f"move by an RMS of {interval(found['consistency']['rms_by_views']['16'])}",
    ):
        assert figure in text, figure


def test_figures_of_another_seed() -> None:
    result = json.loads((ROOT / "bench" / "results" / "subset-seed-2-cpu.json").read_text())
    one, tuned = (found["rmse"][0] for found in (result["evaluation"], result["fine_tuned"]["evaluation"]))
    assert result["command"].endswith("--seed 2")
    minutes = result["seconds"]["train"] / 60
    said = f"Another seed scores {one:.4f} after {minutes:.1f} minutes and, fine-tuned, {tuned:.4f} (`--seed 2`"
    assert said in " ".join(README.split())


def test_figures_of_the_sky() -> None:
    result = json.loads((ROOT / "bench" / "results" / "sky-cpu.json").read_text())
    floors, low, high = result["in_noise_floors"]
    hours = sum(float(row.split(",")[8]) for rows in result["metrics"].values() for row in rows[1:]) / 3600
    for figure in (
        f"sky of {result['count']:,} galaxies `best` with a sixth block, without zoom and shift, scores "
        f"{result['evaluation']['rmse'][0]:.4f} after {result['epochs']} epochs and {result['more']} of fine-tuning",
        f"{floors:.2f} [{low:.2f}, {high:.2f}] times the volunteers' noise",
        f"It took {hours:.1f} hours on 2 CPU cores (`{result['command']}`",
    ):
        assert figure in " ".join(README.split()), figure


def test_figures_of_the_choices() -> None:
    rows = json.loads((ROOT / "bench" / "results" / "axes-cpu.json").read_text())["rows"]
    text = " ".join(README.split())
    # of the rows the start is the better one
    for said, row in (("the sigmoid head", "sigmoid head"), ("those that were given", "labels not stretched")):
        middle, low, high = (-value for value in rows[row]["lower_by"])
        assert f"lower than {said} by {interval([middle, high, low])}" in text
    assert f"A sixth block, lower by {interval(rows['6 blocks']['lower_by'])} at 24 epochs" in text


def test_figures_of_the_networks() -> None:
    rows = json.loads((ROOT / "bench" / "results" / "axes-networks-cpu.json").read_text())["rows"]
    start, row = rows["start"], rows["resnet50, lr 1e-3"]
    middle, low, high = (-value for value in row["lower_by"])
    times = row["cpu_seconds"] / start["cpu_seconds"]
    told = f"scores higher by {interval([middle, high, low])} and takes {times:.0f} times as long"
    assert told in " ".join(README.split())


def test_figures_of_a_sixth_block() -> None:
    result = json.loads((ROOT / "bench" / "results" / "subset-six-blocks-cpu.json").read_text())
    scores = [found["rmse"][0] for found in (result["evaluation"], result["fine_tuned"]["evaluation"])]
    text = " ".join(README.split())
    assert f"scored {scores[0]:.4f} and, when fine-tuned, {scores[1]:.4f} (one training; the command of the" in text
    assert f"on commit {result['made_with']['commit'][:7]}," in text


def test_figures_of_the_first_run() -> None:
    result = json.loads((ROOT / "bench" / "results" / "first-run-cpu.json").read_text())
    assert result["command"] in README
    closing = next(line for line in result["said"] if line.startswith("RMSE"))
    interval = re.findall(r"\[.*?\]", closing)[0]
    for text in (
        f"RMSE {result['rmse']:.4f} {interval}",
        f"mean scores {result['mean_answer']:.4f}",
        f"noise alone {result['noise_floor']:.4f}",
        f"It took {result['seconds']['train']:.0f} s",
    ):
        assert text in " ".join(README.split()), text


def test_counts_of_the_tables() -> None:
    """The kills, and the cases of bad input that were tried."""
    kills = (ROOT / "bench" / "results" / "kills.csv").read_text().splitlines()[1:]
    assert all(line.endswith(",good") for line in kills)
    assert f"`kill -9`) at {len(kills)} random moments" in " ".join(README.split())
    faults = (ROOT / "bench" / "results" / "faults.csv").read_text().splitlines()[1:]
    assert f"{len(faults)} faults" in README
    cases = [line for line in (ROOT / "bench" / "results" / "bad-input.md").read_text().splitlines() if "|" in line]
    assert len(cases) - 2 == len(CASES)
    assert f"The tests try {len(CASES)} cases" in " ".join(README.split())


def test_benchmarks_are_those_of_the_results() -> None:
    """Neither edited by hand nor older than the results: else `python -m bench.publish --tables`."""
    assert publish.rewritten(README, publish.read(publish.RESULTS)) == README


def test_times_of_a_step() -> None:
    """Of the bursts that take turns: every row of the result, and no other."""
    result = json.loads((ROOT / "bench" / "results" / "step-cpu.json").read_text())
    for name, row in result["rows"].items():
        middle, low, high = row["time_of_ours"]
        times = "1" if name == "galaxy-triton" else f"{middle:.2f} [{low:.2f}, {high:.2f}]"
        assert f"| {name} | {row['images_per_s']:.0f} | {times} |" in README
    text = " ".join(README.split())
    assert f"{result['batch']} galaxies a step, {result['rounds']} rounds" in text


def test_counts_of_the_augmentation() -> None:
    text = " ".join(README.split())
    with floors.COUNTED.open(newline="") as handle:
        loops = [row for row in csv.DictReader(handle) if row["view"] == "full jitter"]
    assert f"| instructions a pixel | 316 | {sum(float(row['all']) for row in loops):.0f} |" in text
    assert f"roundings among them | 38 | {sum(float(row['xu']) for row in loops):.0f} |" in text
    predicted = json.loads(floors.PREDICTED.read_text())
    loads = len(loops) * 4 * floors.SIZE**2 / floors.WARP
    assert f"a warp's load touches | 20.0 | {predicted['work']['gather'] / loads:.1f} |" in text
    first, second = (
        {name: rate / 1e6 for name, rate in gpu["views_per_s"].items()} for gpu in predicted["gpus"].values()
    )
    assert f"at {first['gather']:.1f} million views a second" in text
    assert f"instructions ({first['instructions']:.1f}), conversions ({first['conversions']:.1f})" in text
    assert f"memory ({first['memory']:.0f} and {second['memory']:.0f})" in text
    low, high = (rate / 1e6 for rate in predicted["gpus"]["H200"]["expected_views_per_s"])
    assert f"expected to reach {low:.1f} to {high:.1f} million" in text


def test_registers_are_those_of_the_table() -> None:
    with (ROOT / "bench" / "results" / "compile.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert f"Triton {rows[0]['triton']}) for" in README
    assert f"{len(rows)} variants, none spills" in " ".join(README.split())
    nvidia = [row for row in rows if row["target"].startswith("sm_")]
    kinds = {
        "views of a store take {} to {} registers a thread": lambda row: row["pixels"] == "words",
        "of a batch {} to {}": lambda row: row["pixels"] not in ("", "words"),
        "sigmoid_mse {} to {}": lambda row: row["kernel"] == "sigmoid_mse",
        "tree_mse {} to {}": lambda row: row["kernel"] == "tree_mse",
    }
    for text, chosen in kinds.items():
        registers = [int(row["registers"]) for row in nvidia if chosen(row)]
        assert text.format(min(registers), max(registers)) in " ".join(README.split())


def test_commands_exist() -> None:
    blocks = "".join(re.findall(r"^```sh$(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^galaxy-triton (\S+)(.*)$", blocks, flags=re.MULTILINE)
    assert {"pack", "train", "predict", "doctor"} <= {name for name, _ in lines}
    for name, rest in lines:
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= options
        assert isinstance(main.commands[name], click.Command)


def test_first_screen_says_what_has_not_run() -> None:
    on_gpus = any(result["made_with"]["gpu"] for result in publish.read(publish.RESULTS))
    assert on_gpus or "have not yet run on a GPU" in README[:2500]
