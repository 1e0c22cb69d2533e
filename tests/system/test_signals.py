"""Stopping: the first signal is said and remembered, the second acts, and the handlers of before come back."""

import os
import signal

import pytest

from galaxy_triton.system.signals import STOPPING, stop_between_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_between_steps(number: signal.Signals) -> None:
    before, said = signal.getsignal(number), list[str]()
    with stop_between_steps(said.append) as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert said == [STOPPING]
    assert signal.getsignal(number) == before


def test_second_signal_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_between_steps(print):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_stops_are_apart() -> None:
    """A request to stop one run is not one to stop the next."""
    with stop_between_steps(print) as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
    with stop_between_steps(print) as other:
        assert not other.requested
