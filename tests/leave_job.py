"""One of several processes that average gradients once and leave each other, started by test_ranks.py.

    python tests/leave_job.py [--stop]

With --stop they leave by `Stopped`. What is written is the names of the threads that are left, one in a line.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from galaxy_triton.errors import Stopped
from galaxy_triton.ranks import Ranks, joined
from galaxy_triton.stop import REQUEUE


def train(ranks: Ranks, stops: bool) -> None:
    network = ranks.together(nn.Linear(8, 8), torch.device("cpu"))
    circle: dict[str, Any] = {"network": network}
    circle["itself"] = circle
    network(torch.ones(2, 8)).sum().backward()
    if stops:
        raise Stopped(REQUEUE)


def main() -> None:
    with suppress(Stopped), joined("cpu") as ranks:
        train(ranks, "--stop" in sys.argv)
    print(*(task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()), sep="\n")


if __name__ == "__main__":
    main()
