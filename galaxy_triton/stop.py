"""A polite stop: the first Ctrl-C or SIGTERM is remembered until the step is done, the second one acts at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether someone asked to stop."""

    requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a second signal interrupts."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_between_steps() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM in the block, and put their handlers back after it."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
