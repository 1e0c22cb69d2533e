"""What a result was made with: versions, commit, threads."""

import platform
import subprocess
from pathlib import Path

import torch

from galaxy_triton import __version__

# What the bits of a run on a CPU depend on.
BITS_DEPEND_ON = ("python", "torch")


def provenance() -> dict[str, str]:
    """Names and values, as text."""
    return {
        "release": f"galaxy-triton {__version__}, commit {_commit()}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
    }


def _commit() -> str:
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return "unknown (not run from a clone)"
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown (there is no git)"
    return asked.stdout.strip() or "unknown"
