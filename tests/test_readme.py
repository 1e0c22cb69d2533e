"""The README against what it speaks of: figures against result files, commands against the command line."""

import json
import re
from pathlib import Path

import click

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
