"""One of several processes that average gradients once and fail, started by test_processes.py.

It writes the number of its threads while the processes are together, and of those that are left. Its error keeps the
frames of its functions, and with them their tensors.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.processes import Processes, join_processes


def count_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def train(processes: Processes) -> None:
    network = processes.average_gradients(nn.Linear(8, 8), torch.device("cpu"))
    circle: dict[str, Any] = {"network": network}
    circle["itself"] = circle
    network(torch.ones(2, 8)).sum().backward()
    print(count_threads())
    raise ValueError


def main() -> None:
    with suppress(DataFault), join_processes("cpu") as processes:
        try:
            train(processes)
        except ValueError as error:
            raise DataFault("failed") from error
    print(count_threads())


if __name__ == "__main__":
    main()
