"""A call in a process of its own: nothing compiled or held before it, and a crash that costs this call alone."""

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


class CallFailed(Exception):
    """The call did not come to its end; the message is why, in a line."""


def in_fresh_process(call: Callable[[A], R], argument: A) -> R:
    """What `call(argument)` gives; both, and the result, can be pickled. What the process prints is not shown.

    Raises:
        CallFailed: it raised, or its process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder) / "printed.txt"
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, _begin, (printed,)) as pool:
            try:
                return pool.submit(in_this_process, call, argument).result()
            except BrokenProcessPool as error:
                raise CallFailed(f"its process died; its last words: {_last_line(printed)}") from error


def in_this_process(call: Callable[[A], R], argument: A) -> R:
    """What `call(argument)` gives, without a process for it.

    Raises:
        CallFailed: it raised.
    """
    try:
        return call(argument)
    except Exception as error:
        # In words: not every exception can be sent to another process.
        raise CallFailed(_in_a_line(error)) from None


def _begin(printed: Path) -> None:
    """Send what this process prints, its libraries included, to a file; start others as an ordinary process would; and
    end with the process that wants the result."""
    handle = os.open(printed, os.O_WRONLY | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    multiprocessing.set_start_method(None, force=True)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _in_a_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").split("\n") if file.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")
