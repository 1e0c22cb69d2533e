"""The largest batch, by the memory that is free."""

from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.model import memory
from galaxy_triton.model.backend import choose
from galaxy_triton.model.memory import step_bytes
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.system.processes import ALONE, Processes
from galaxy_triton.train import batch_size
from galaxy_triton.train.batch_size import doubled, largest_batch

SMALL = override(SEED, {"run.device": "cpu", "network.widths": (16, 32), "augmentation.size": 64})
BLACK = Galaxies(torch.zeros(16, 24, 24, 4, dtype=torch.uint8), torch.arange(16), torch.full((16, 37), 0.5))


def estimate(free: int | None, rows: int, processes: Processes = ALONE, config: Config = SMALL) -> int:
    """The largest batch where so much memory is free; nothing is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda device: free)
        return largest_batch(config, choose(config), BLACK, torch.arange(rows), processes)


@pytest.mark.parametrize(
    ("most", "fitting", "size"), [(100, 1000, 64), (64, 1000, 64), (100, 31, 16), (100, 32, 32), (1, 9, 1), (9, 0, 0)]
)
def test_doubled(most: int, fitting: int, size: int) -> None:
    assert doubled(most, lambda count: count <= fitting) == size


@pytest.mark.parametrize(("free_mib", "rows", "size"), [(10**6, 3436, 256), (10**6, 45, 4), (400, 3436, 64)])
def test_largest_batch_by_estimate(free_mib: int, rows: int, size: int) -> None:
    """Half of the free memory, and ten steps an epoch."""
    assert estimate(free_mib * 2**20, rows) == size
    needed = [step_bytes(override(SMALL, {"run.batch_size": n}), choose(SMALL), 1) / 2**20 for n in (size, 2 * size)]
    assert needed[0] <= free_mib / 2
    assert needed[1] > free_mib / 2 or 2 * size * 10 > rows


def test_largest_batch_of_several_processes() -> None:
    """The two processes of a machine share its memory; the batch is that of all four."""
    assert estimate(800 * 2**20, 10**5) == 128
    assert estimate(800 * 2**20, 10**5, Processes(0, 4, 0, 2)) == 4 * 64
    assert estimate(800 * 2**20, 80, Processes(0, 4, 0, 2)) == 4 * 2


def test_largest_batch_is_refused() -> None:
    with pytest.raises(DataFault, match="Expected memory for a step on one galaxy"):
        estimate(2**20, 1000, config=override(SEED, {"run.device": "cpu"}))
    with pytest.raises(UsageFault, match="Expected a system that says how much memory is free"):
        estimate(None, 1000)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")], ids=str)
def test_a_trial_fits_until_memory_runs_out(
    error: Exception, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is tried by real steps; here the device runs out of memory at will. Any other error is a bug."""
    config = override(SEED, tiny)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert batch_size._fits(config, choose(config), BLACK, torch.arange(6))
    monkeypatch.setattr(batch_size, "batch_of", lambda galaxies, rows: _raise(error))
    assert not batch_size._fits(config, choose(config), BLACK, torch.arange(6))
    monkeypatch.setattr(batch_size, "batch_of", lambda galaxies, rows: _raise(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        batch_size._fits(config, choose(config), BLACK, torch.arange(6))


def _raise(error: Exception) -> None:
    raise error
