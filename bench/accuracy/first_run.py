"""The README's first command in a fresh clone with an empty cache; each of its parts is timed.

python -m bench.accuracy.first_run --out bench/results/first-run-cpu.json
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.publish.made_with import output
from bench.scripts import option_parser, write_result

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("environment", "install", "train")  # of the command, between its &&
FIGURES = {"rmse": "RMSE", "mean_answer": "mean answer", "noise_floor": "noise floor"}


def main() -> None:
    options = _options()
    command = first_command((ROOT / "README.md").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "galaxy-triton"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = os.environ | {"XDG_CACHE_HOME": str(Path(scratch) / "cache")}
        seconds, said = {}, ""
        for part, text in zip(PARTS, command.split(" && "), strict=True):
            seconds[part], said = _timed(text, clone, environment)
        (run,) = (clone / "runs").iterdir()
        result = {
            "command": command,
            "commit": output("git", "-C", str(clone), "rev-parse", "HEAD"),
            "cores": os.cpu_count(),
            "made_with": json.loads((run / "last" / "checkpoint.json").read_text())["made_with"],
            "seconds": seconds,
            **figures(said),
            "report_bytes": (run / "report.html").stat().st_size,
            "said": said.replace(scratch, "~").splitlines(),
        }
        if options.keep:
            shutil.copytree(run, options.keep)
    write_result(options.out, result)


def first_command(readme: str) -> str:
    """The line that makes an environment, installs, and trains."""
    return re.findall(r"^(python3 -m venv .*galaxy-triton train)$", readme, re.MULTILINE)[0]


def figures(said: str) -> dict[str, float]:
    """The closing figures of `train`."""
    return {name: float(re.findall(rf"^{label} +([\d.]+)", said, re.MULTILINE)[0]) for name, label in FIGURES.items()}


def _timed(command: str, where: Path, environment: dict[str, str]) -> tuple[float, str]:
    # python3 is the interpreter that runs this file, so that the result names a version that was chosen
    command = re.sub(r"^python3 ", f"{sys.executable} ", command)
    started = time.perf_counter()
    done = subprocess.run(command, shell=True, cwd=where, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="copy the run here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
