"""A call in a new process: nothing is compiled or allocated before it, and a crash ends only this call."""

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
    """The call raised an exception or its process died; the message is one line."""


def in_new_process(call: Callable[[A], R], argument: A) -> R:
    """`call(argument)` in a new process, whose output is not shown. Call, argument and result must be picklable.

    Raises:
        CallFailed: it raised, or its process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, _prepare, (output,)) as pool:
            try:
                return pool.submit(in_this_process, call, argument).result()
            except BrokenProcessPool as error:
                lines = output.read_text(errors="replace").splitlines() if output.exists() else []
                last = next((line.strip() for line in reversed(lines) if line.strip()), "none")
                raise CallFailed(f"its process died; the last line of its output: {last}") from error


def in_this_process(call: Callable[[A], R], argument: A) -> R:
    """As `in_new_process`, in the process of the caller.

    Raises:
        CallFailed: it raised.
    """
    try:
        return call(argument)
    except Exception as error:
        # As text: not every exception can be sent to another process.
        first_line = str(error).strip().partition("\n")[0]
        raise CallFailed(": ".join(filter(None, (type(error).__name__, first_line)))) from None


def _prepare(output: Path) -> None:
    """Redirect this process's output to a file, restore the default start method, and end when the parent ends."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    multiprocessing.set_start_method(None, force=True)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
