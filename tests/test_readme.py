"""The README against what it speaks of: figures against result files, commands against the command line."""

import json
import re
from pathlib import Path

import click
from bad_input import CASES

from galaxy_triton.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_figures_are_those_of_the_results() -> None:
    result = json.loads((ROOT / "bench" / "results" / "subset-cpu.json").read_text())
    score, seconds = result["evaluation"]["score"], result["seconds"]
    low, high = score["interval"]
    assert f"**{score['rmse']:.4f}** [{low:.4f}, {high:.4f}]" in README
    gain, least, most = result["evaluation"]["difference"]
    assert f"{gain:.4f} [{least:.4f}, {most:.4f}]" in README
    assert f"{seconds['all'] / 60:.1f} minutes" in README


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
    cases = [line for line in (ROOT / "bench" / "results" / "bad-input.md").read_text().splitlines() if "|" in line]
    assert len(cases) - 2 == len(CASES)
    assert f"The tests try {len(CASES)} cases" in " ".join(README.split())


def test_commands_exist() -> None:
    blocks = "".join(re.findall(r"^```sh$(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^galaxy-triton (\S+)(.*)$", blocks, flags=re.MULTILINE)
    assert {"pack", "train", "predict", "doctor"} <= {name for name, _ in lines}
    for name, rest in lines:
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= options
        assert isinstance(main.commands[name], click.Command)


def test_first_screen_says_what_has_not_run() -> None:
    gpus = [file for file in (ROOT / "bench" / "results").glob("*.json") if "cpu" not in file.name]
    assert gpus or "have not yet run on a GPU" in README[:2500]
