"""Processes that tests start: alone, or several that know of each other."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LIMIT = 600.0  # seconds for a whole process


class Ended(NamedTuple):
    """How a process ended, and what it wrote to its standard output and error together."""

    code: int
    said: str


def free_port() -> int:
    """One that nobody listens to now, below those that systems give to others meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 20_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def start(command: list[str], cwd: Path, **environment: object) -> "subprocess.Popen[str]":
    """Start a command with one thread, as the bits of a sum depend on how many share it.

    cwd: not a clone's root, where `-m galaxy_triton` would find the package without its kernels.
    """
    here = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in environment.items()}}
    return subprocess.Popen(command, cwd=cwd, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process: "subprocess.Popen[str]") -> Ended:
    """Wait until it ends; it is killed if it does not."""
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    return Ended(process.returncode, said)


def together(count: int, command: list[str], cwd: Path) -> list[Ended]:
    """Run a command in `count` processes that know of each other, by rank."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": count}
    return [end(process) for process in [start(command, cwd, RANK=rank, **group) for rank in range(count)]]


def application(*arguments: object) -> list[str]:
    """What starts the command line."""
    return [sys.executable, "-m", "galaxy_triton", *map(str, arguments)]


def wait_for(holds: Callable[[], bool]) -> None:
    """Look again and again until it holds."""
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
