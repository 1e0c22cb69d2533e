"""Shared by the scripts of bench: option parsers, result files, calls of `galaxy-triton`."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.system.whole_files import whole_file

IMAGES, TEST_IMAGES = "images_training_rev1.zip", "images_test_rev1.zip"
LABELS, OWN_LABELS = "training_solutions_rev1.csv", "training_solutions_exact.csv"


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose --help shows a module's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def write_result(file: Path, result: dict) -> None:
    """Write a result as JSON, whole or not at all."""
    text = json.dumps(result, indent=1) + "\n"
    with whole_file(file, replace=True) as temporary:
        temporary.write_text(text)


def galaxy_triton(command: str, *words: object) -> float:
    """Run `galaxy-triton COMMAND WORDS` and return its wall time in seconds.

    Raises:
        CalledProcessError: it did not end with exit code 0.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, words)], check=True)
    return time.perf_counter() - started


def pack_images(images: Path, labels: Path, store: Path, preprocess: Preprocess) -> float:
    """Pack images as a recipe wants them; returns seconds."""
    size = ("--size", preprocess.size, *(("--crop", preprocess.crop) if preprocess.crop else ()))
    return galaxy_triton("pack", images, "--labels", labels, "--out", store, *size)
