"""When the host reads the losses of the steps behind it: seldom on a GPU, which it must wait for."""

import time

from galaxy_triton.system.processes import Processes

MOST_STEPS = 50  # between two readings
SECONDS = 5.0  # between two readings where steps are long: torchrun gives 30 s to stop, and SLURM what is asked of it


class Pace:
    """After which step to read next: the same one in all processes."""

    due, last, started = 0, -1, 0.0

    def start(self, step: int) -> None:
        """Start before this step, after which the losses are read first."""
        self.due, self.last, self.started = step, step - 1, time.perf_counter()

    def plan_next(self, step: int, processes: Processes) -> None:
        """Plan the next reading by the first process's clock, now that the losses up to `step` are read."""
        now = time.perf_counter()
        seconds = (now - self.started) / (step - self.last)
        self.due = step + processes.agree(max(1, min(MOST_STEPS, int(SECONDS / seconds))))
        self.last, self.started = step, now
