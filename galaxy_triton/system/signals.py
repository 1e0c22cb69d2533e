"""A polite stop: a signal is remembered until the step is done, and the exit code says whether to start again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # as shells report Ctrl-C
REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, try again later

# What asks to stop -> the exit code. USR1 is what a SLURM job may be sent before its time is up, and not on Windows.
CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: REQUEUE}
if hasattr(signal, "SIGUSR1"):
    CODES[signal.SIGUSR1] = REQUEUE


class Stop:
    """Whether someone asked to stop. code: the exit code that asks for; 0 if nobody did."""

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
    """Catch what asks to stop in the block, and put the handlers of before back after it."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
