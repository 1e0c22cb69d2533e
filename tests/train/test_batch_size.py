"""How large a batch may be, by what is free."""

from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import Batch
from galaxy_triton.model import memory
from galaxy_triton.model.backend import choose
from galaxy_triton.model.memory import step_bytes
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.system.processes import ALONE, Processes
from galaxy_triton.train import batch_size
from galaxy_triton.train.batch_size import doubled, largest_batch


@pytest.mark.parametrize(
    ("most", "fitting", "size"), [(100, 1000, 64), (64, 1000, 64), (100, 31, 16), (100, 32, 32), (1, 9, 1), (9, 0, 0)]
)
def test_doubled(most: int, fitting: int, size: int) -> None:
    tried: list[int] = []

    def fits(count: int) -> bool:
        tried.append(count)
        return count <= fitting

    assert doubled(most, fits) == size
    assert tried == sorted(set(tried))


@pytest.mark.parametrize(("free_mib", "rows", "size"), [(10**6, 3436, 256), (10**6, 45, 4), (400, 3436, 64)])
def test_largest_batch_by_estimate(free_mib: int, rows: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is free, and ten steps an epoch."""
    config = override(SEED, {"run.device": "cpu", "network.widths": (16, 32), "augmentation.size": 64})
    backend = choose(config)
    monkeypatch.setattr(memory, "free_memory", lambda device: free_mib * 2**20)
    found = largest_batch(config, backend, _never, rows, ALONE)
    assert found == size
    taken = [step_bytes(override(config, {"run.batch_size": size}), backend, 1) / 2**20 for size in (found, 2 * found)]
    assert taken[0] <= free_mib / 2
    assert taken[1] > free_mib / 2 or 2 * found * 10 > rows


def test_largest_batch_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**20)
    with pytest.raises(DataFault, match="Expected memory for a step on one galaxy"):
        largest_batch(SEED, choose(override(SEED, {"run.device": "cpu"})), _never, 1000, ALONE)


def test_largest_batch_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one machine share its memory; the batch is of all."""
    config = override(SEED, {"run.device": "cpu", "network.widths": (16, 32), "augmentation.size": 64})
    monkeypatch.setattr(memory, "free_memory", lambda device: 800 * 2**20)
    backend = choose(config)
    assert largest_batch(config, backend, _never, 10**6, ALONE) == 128
    assert largest_batch(config, backend, _never, 10**6, Processes(0, 4, 0, 2)) == 4 * 64
    assert largest_batch(config, backend, _never, 80, Processes(0, 4, 0, 2)) == 4 * 2


def test_largest_batch_where_nobody_says_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    with pytest.raises(UsageFault, match="Expected a system that says how much memory is free"):
        largest_batch(SEED, choose(override(SEED, {"run.device": "cpu"})), _never, 1000, ALONE)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")], ids=str)
@pytest.mark.parametrize("fitting", [1, 6, 8])
def test_largest_batch_by_trying(
    fitting: int, error: Exception, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real steps, each on twice as many galaxies, until memory runs out; here a device that runs out at will."""
    config = override(SEED, tiny)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    fits = batch_size._fits_by_trial(
        config, choose(config), lambda size: _batch(size) if size <= fitting else _end(error)
    )
    assert doubled(100, fits) == {1: 1, 6: 4, 8: 8}[fitting]


def test_a_bug_is_no_lack_of_memory(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = override(SEED, tiny)
    with pytest.raises(RuntimeError, match="a bug"):
        batch_size._fits_by_trial(config, choose(config), lambda size: _end(RuntimeError("a bug")))(1)


def _batch(size: int) -> Batch:
    ids = torch.arange(size)
    return Batch(torch.zeros(size, 24, 24, 4, dtype=torch.uint8), ids, ids, torch.rand(size, 37))


def _end(error: Exception) -> Batch:
    raise error


def _never(size: int) -> Batch:
    raise AssertionError("nothing is tried out here")
