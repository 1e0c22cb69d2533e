"""One of several processes that average gradients once and leave each other, started by test_processes.py.

    python leave_job.py done|stopped|failed

They leave at the end of their work, by `Stopped`, or by a fault that came of another. What is written is the number of
threads while they are together, and of those that are left.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from galaxy_triton.system.errors import DataFault, Stopped
from galaxy_triton.system.processes import Processes, join_processes
from galaxy_triton.system.signals import REQUEUE


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def train(processes: Processes, how: str) -> None:
    network = processes.average_gradients(nn.Linear(8, 8), torch.device("cpu"))
    circle: dict[str, Any] = {"network": network}
    circle["itself"] = circle
    network(torch.ones(2, 8)).sum().backward()
    print(threads())
    if how == "stopped":
        raise Stopped(REQUEUE)
    if how == "failed":
        raise ValueError(how)


def train_or_say(processes: Processes, how: str) -> None:
    try:
        train(processes, how)
    except ValueError as error:
        raise DataFault(how) from error


def main() -> None:
    with suppress(Stopped, DataFault), join_processes("cpu") as processes:
        train_or_say(processes, sys.argv[1])
    print(threads())


if __name__ == "__main__":
    main()
