"""A stop between steps: a signal is remembered until the step is done; the exit code tells whether to start again."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # as shells report Ctrl-C
REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, try again later
STOPPING = "\nStopping: the step that is being made is finished and saved first; Ctrl-C again does not wait for it"

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
def stop_between_steps(say: Callable[[str], None]) -> Iterator[Stop]:
    """Record the signals of CODES while the block runs, instead of ending the process; then restore the handlers.

    say: told STOPPING at the first signal, in a thread: Python calls handlers only between its own instructions, of
        which one may be a long backward pass.
    """
    stop = Stop()
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        teller = threading.Thread(target=_tell, args=(reader, say), daemon=True)
        teller.start()
        handlers = {number: signal.signal(number, stop.handle) for number in CODES}
        told = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield stop
        finally:
            signal.set_wakeup_fd(told)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            writer.close()
            teller.join()


def _tell(reader: socket.socket, say: Callable[[str], None]) -> None:
    """Say STOPPING once the number of a signal comes, which Python writes at once; end when the socket is closed."""
    while number := reader.recv(1):
        if number[0] in CODES:
            say(STOPPING)
            return
