"""A call in a new process: its result, its failures, and its end."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_start_method
from pathlib import Path

import pytest

from galaxy_triton.experiments.new_process import CallFailed, in_new_process, in_this_process
from tests.support.processes import wait_for

ASKS = """
import os, pathlib, sys, time
from galaxy_triton.experiments.new_process import in_new_process

def sleep(file):
    pathlib.Path(file + ".partial").write_text(str(os.getpid()))
    os.rename(file + ".partial", file)
    time.sleep(300)

if __name__ == "__main__":
    in_new_process(sleep, sys.argv[1])
"""


def test_result_comes_back() -> None:
    assert in_new_process(math.sqrt, 16.0) == in_this_process(math.sqrt, 16.0) == 4


@pytest.mark.parametrize("run", [in_new_process, in_this_process])
def test_a_call_that_raises_says_it_in_a_line(run: Callable[..., object]) -> None:
    with pytest.raises(CallFailed, match=r"^ValueError: invalid literal for int\(\) with base 10: 'two'$"):
        run(int, "two")


def test_a_process_that_dies_fails_the_call() -> None:
    with pytest.raises(CallFailed, match="its process died"):
        in_new_process(os._exit, 3)


def test_a_process_starts_others_as_any_does() -> None:
    assert in_new_process(eval, "__import__('multiprocessing').get_start_method()") == get_start_method()


def test_a_process_ends_with_the_one_that_asked(tmp_path: Path) -> None:
    """Nothing measures on for a command that was killed."""
    script, begun = tmp_path / "asks.py", tmp_path / "begun"
    script.write_text(ASKS)
    # Not in a clone's root, where the package would be found without its kernels.
    asking = subprocess.Popen([sys.executable, str(script), str(begun)], cwd=tmp_path)
    try:
        wait_for(lambda: begun.exists() or asking.poll() is not None)
    finally:
        asking.kill()
        asking.wait()
    wait_for(lambda: not alive(int(begun.read_text())))


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # nobody may be there to ask how it ended
    state = Path(f"/proc/{number}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
