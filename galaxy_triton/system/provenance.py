"""The provenance of a result: versions, commit, threads."""

import platform
import subprocess
from pathlib import Path

import torch

from galaxy_triton import __version__

# The bits of a run on a CPU depend on these.
BITS_DEPEND_ON = ("python", "torch")


def provenance() -> dict[str, str]:
    """Release, Python and torch of this process, as text by name."""
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
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown (there is no git)"
    return found.stdout.strip() or "unknown"
