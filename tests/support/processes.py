"""Processes that tests start: alone, or several that work together."""

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
    """The exit code of a process, and its standard output and error together."""

    code: int
    said: str


def free_port() -> int:
    """A port without a listener, below the range that systems hand out by themselves."""
    while True:
        port = random.SystemRandom().randrange(10_000, 20_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def one_thread() -> dict[str, str]:
    """An environment with one thread of torch: the bits of a sum depend on how many share it."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def start(command: list[str], cwd: Path, **environment: object) -> "subprocess.Popen[str]":
    """Start a command with one thread.

    cwd: not a clone's root, where `-m galaxy_triton` would find the package without its kernels.
    """
    here = one_thread() | {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(command, cwd=cwd, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process: "subprocess.Popen[str]") -> Ended:
    """Wait until a process ends, and kill it after LIMIT seconds."""
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    return Ended(process.returncode, said)


def together(count: int, command: list[str], cwd: Path) -> list[Ended]:
    """Run a command in `count` processes of one torch.distributed group; the results by rank."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": count}
    return [end(process) for process in [start(command, cwd, RANK=rank, **group) for rank in range(count)]]


def application(*arguments: object) -> list[str]:
    """The command that starts galaxy-triton."""
    return [sys.executable, "-m", "galaxy_triton", *map(str, arguments)]


def wait_for(holds: Callable[[], bool]) -> None:
    """Poll a condition until it is true."""
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def compile_python(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run Python to its end; Triton compiles there, whatever this process does."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=6 * LIMIT)
