"""Value and gradient of the losses, as in a training step: alone and in a CUDA graph."""

import itertools

import pytest
import torch

from bench.kernels.loss_rows import LOSSES, ROWS, captured, inputs, loss_call, reason_to_skip

BATCHES = {"cuda": (256, 32, 65536, 4096), "cpu": (256,)}
IMPLEMENTATIONS = {name: impl for impl, name in ROWS.items()}
IN_A_GRAPH = ", in a CUDA graph"


def planned(device: str) -> list[tuple[str, str, int]]:
    """(what, row, batch), the most valuable first, as time may run out."""
    ways = [f"{name} loss{way}" for name, way in itertools.product(LOSSES, ("", IN_A_GRAPH))]
    return [(what, row, batch) for batch, what, row in itertools.product(BATCHES[device], ways, IMPLEMENTATIONS)]


@pytest.mark.parametrize(("what", "row", "batch"), planned("cuda" if torch.cuda.is_available() else "cpu"))
def test_loss_speed(what: str, row: str, batch: int, timed, device: torch.device, small: bool) -> None:
    impl, in_a_graph = IMPLEMENTATIONS[row], what.endswith(IN_A_GRAPH)
    reason = reason_to_skip(impl, device)
    if in_a_graph and device.type == "cpu":
        reason = "needs a CUDA GPU: there are no CUDA graphs on a CPU"
    if reason:
        pytest.skip(reason)

    rows = 4 if small else batch

    def make():
        call = loss_call(what.split()[0], impl, *inputs(rows, device))
        return captured(call)[0] if in_a_graph else call

    timed(make, images=rows)
