"""Stopping: the first signal is remembered, the second acts, and the handlers of before come back."""

import os
import signal

import pytest

from galaxy_triton.system.signals import stop_between_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_between_steps(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_between_steps() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
    assert signal.getsignal(number) == before


def test_second_signal_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_between_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_stops_are_apart() -> None:
    """A request to stop one run is not one to stop the next."""
    with stop_between_steps() as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
    with stop_between_steps() as other:
        assert not other.requested
