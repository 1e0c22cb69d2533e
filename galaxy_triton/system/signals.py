"""A stop between steps: a signal is remembered until the step is done; the exit code tells whether to start again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # as shells report Ctrl-C
REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, try again later

# Signal -> exit code. SLURM can send USR1 before a job's time is up; Windows has no USR1.
CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: REQUEUE}
if hasattr(signal, "SIGUSR1"):
    CODES[signal.SIGUSR1] = REQUEUE


class Stop:
    """A request to stop. code: the exit code that it asks for; 0 without a request."""

    code = 0

    @property
    def requested(self) -> bool:
        return self.code != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; Ctrl-C after any signal interrupts at once."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.code = CODES[signal.Signals(number)]


@contextmanager
def stop_between_steps() -> Iterator[Stop]:
    """Record the signals of CODES while the block runs, instead of ending the process; then restore the handlers."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
