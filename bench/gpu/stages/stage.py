"""Shared by the stages of bench.gpu.on_gpu: arguments, findings, commands with a deadline, inputs."""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SKY_IMAGES, SKY_LABELS = "sky/images_training_rev1", "sky/training_solutions_rev1.csv"


@dataclass
class Findings:
    """Facts and rows, written to the file after each, so that a stage that is stopped leaves its findings."""

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def fact(self, name: str, value: object) -> None:
        self.content[name] = value
        self._write()

    def row(self, **values: object) -> None:
        self.content.setdefault("rows", []).append(values)
        self._write()

    def faults(self) -> list[dict[str, Any]]:
        """The rows that were found wrong."""
        return [row for row in self.content.get("rows", []) if not row.get("ok", True)]

    def _write(self) -> None:
        self.file.write_text(json.dumps(self.content))


class Commands:
    """Runs Python commands until a deadline; a command that fails is noted in the findings."""

    def __init__(self, found: Findings, limit: float) -> None:
        self.found, self.deadline = found, time.monotonic() + limit

    def run(self, *words: object, may_run_out: bool = False) -> str | None:
        """Run `python WORDS` and return its output; None if it failed or ran out of time."""
        what, left = " ".join(map(str, words[:3])), max(0.1, self.deadline - time.monotonic())
        command = [sys.executable, *map(str, words)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)
        except subprocess.TimeoutExpired:
            self.found.row(what=what, ok=may_run_out, summary="stopped at the stage's limit")
            return None
        if done.returncode == 0:
            return done.stdout
        print(done.stdout[-3000:], done.stderr[-3000:])
        self.found.row(what=what, ok=False, summary=done.stderr[-500:])
        return None

    def ours(self, *words: object, may_run_out: bool = False) -> str | None:
        """Run `galaxy-triton WORDS`, as `run` does."""
        return self.run("-m", "galaxy_triton", *words, may_run_out=may_run_out)


def begin() -> tuple[argparse.Namespace, Findings]:
    """device: "cuda" or "cpu". small: for a dry run. root, commit: of the tree. limit: seconds for the stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--commit")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    return arguments, Findings(arguments.found)


def simulate_and_pack(commands: Commands, galaxies: int, size: int) -> bool:
    """Draw a sky into `sky` and pack it into `store`, in the working folder; False if a command failed."""
    drawn = commands.ours("simulate", "sky", "--count", galaxies, "--workers", os.cpu_count() or 1)
    if drawn is None:
        return False
    return commands.ours("pack", SKY_IMAGES, "--labels", SKY_LABELS, "--out", "store", "--size", size) is not None


def sources(count: int, side: int, device: str) -> Any:
    """uint8 [count, side, side, 4]: noise, the content on which a wrong neighbour shows most."""
    import torch

    return torch.randint(0, 256, (count, side, side, 4), dtype=torch.uint8, device=device)


def full_ranges() -> Any:
    """The seed's jitter, any rotation, and every other kind of change too."""
    from galaxy_triton.kernels import Ranges

    return Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.1, 0.1, 0.1, 0.05)
