"""The passes of an epoch: galaxies that are repeated come once in each of them, every other one in one of them.

Without repeated galaxies an epoch is one pass.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from galaxy_triton.config.schema import Run
from galaxy_triton.data.order import count_batches, deal, epoch_batches
from galaxy_triton.data.split import Split


class Step(NamedTuple):
    """A batch: rows of the store, int64 [B], and the number of its pass in the run, with which its views are drawn."""

    rows: Tensor
    number: int


def count_steps(train: int, repeated: int, run: Run) -> int:
    """Steps of an epoch on so many galaxies, of which so many are repeated."""
    once, more = divmod(train - repeated, run.repeat)
    sizes = (once + (part < more) + repeated for part in range(run.repeat))
    return sum(count_batches(size, run.batch_size) for size in sizes)


class Passes:
    """What a run trains on, step by step, whatever the number of processes.

    Args:
        ids: int64 [N], of all galaxies of the store, on the device.
        run: its seed, batch size and `repeat`, the passes of an epoch.
    """

    def __init__(self, split: Split, ids: Tensor, run: Run) -> None:
        self.ids, self.run = ids, run
        once = np.setdiff1d(split.train, split.repeated)
        self.once, self.repeated = (torch.from_numpy(rows).to(ids.device) for rows in (once, split.repeated))

    def steps(self, epoch: int) -> list[Step]:
        """The batches of an epoch, in turn; how large each is does not depend on the epoch."""
        run, steps = self.run, []
        dealt = deal(self.once, self.ids[self.once], run.seed, epoch, run.repeat)
        for number, part in enumerate(dealt, epoch * run.repeat):
            rows = torch.cat((part, self.repeated))
            batches = epoch_batches(rows, self.ids[rows], run.seed, number, run.batch_size)
            steps += [Step(batch, number) for batch in batches]
        return steps
