"""README's first command on a fresh clone with nothing kept from before, each of its parts timed -> one JSON.

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

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("environment", "install", "train")  # of the command, between its &&
FIGURES = {"rmse": "RMSE", "mean_answer": "mean answer", "noise_floor": "noise floor"}


def main() -> None:
    out = _options().out.resolve()
    command = first_command((ROOT / "README.md").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "galaxy-triton"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        provenance = os.environ | {"XDG_CACHE_HOME": str(Path(scratch) / "cache")}
        seconds, said = {}, ""
        for part, text in zip(PARTS, command.split(" && "), strict=True):
            seconds[part], said = _timed(text, clone, provenance)
        (run,) = (clone / "runs").iterdir()
        result = {
            "command": command,
            "commit": _commit(clone),
            "cores": os.cpu_count(),
            "made_with": json.loads((run / "last" / "checkpoint.json").read_text())["made_with"],
            "seconds": seconds,
            **figures(said),
            "report_bytes": (run / "report.html").stat().st_size,
            "said": said.replace(scratch, "~").splitlines(),
        }
        if _options().keep:
            shutil.copytree(run, _options().keep)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


def first_command(readme: str) -> str:
    """The line that makes an environment, installs, and trains."""
    return re.findall(r"^(python3 -m venv .*galaxy-triton train)$", readme, re.MULTILINE)[0]


def figures(said: str) -> dict[str, float]:
    """The closing figures of `train`."""
    return {name: float(re.findall(rf"^{label} +([\d.]+)", said, re.MULTILINE)[0]) for name, label in FIGURES.items()}


def _timed(command: str, where: Path, provenance: dict[str, str]) -> tuple[float, str]:
    # python3 is the interpreter that runs this file, so that the result names a version that was chosen
    command = re.sub(r"^python3 ", f"{sys.executable} ", command)
    started = time.perf_counter()
    done = subprocess.run(command, shell=True, cwd=where, env=provenance, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def _commit(clone: Path) -> str:
    asked = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="copy the run here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
