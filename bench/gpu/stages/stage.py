"""What every stage of on_gpu.py shares: its arguments, its findings as they come, its inputs."""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Findings:
    """Facts and rows, written after each, so that a stage that is stopped leaves what it had."""

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


def sources(count: int, side: int, device: str) -> Any:
    """uint8 [count, side, side, 4]: noise, the content on which a wrong neighbour shows most."""
    import torch

    return torch.randint(0, 256, (count, side, side, 4), dtype=torch.uint8, device=device)


def full_ranges() -> Any:
    """The seed's jitter, any rotation, and every other kind of change too."""
    from galaxy_triton.kernels import Ranges

    return Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.1, 0.1, 0.1, 0.05)
