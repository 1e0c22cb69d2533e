"""Several processes as one: the same galaxies with the same views, losses and gradients, on any number of them."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override
from galaxy_triton.model.backend import choose
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.errors import UsageFault
from galaxy_triton.system.processes import ALONE, Processes, from_environment
from galaxy_triton.system.signals import REQUEUE
from galaxy_triton.train.session import Session
from tests.processes import rank_job
from tests.support.processes import Ended, application, end, start, together
from tests.support.sessions import trainer_of

JOB = Path(rank_job.__file__)
COUNT, LATER = 3, 2  # processes that begin, and that end what they left stopped

Found = list[dict[str, Any]]  # by rank


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(sky: Any, folder: Path) -> dict[str, Any]:
    """The steps and the RMSE of one process."""
    return rank_job.train_whole(sky.store, folder / "whole-1", ALONE)


def found_by(count: int, codes: list[int], folder: Path, *words: object) -> tuple[Found, list[Ended]]:
    ends = together(count, [sys.executable, str(JOB), *map(str, words)], JOB.parent)
    assert [ended.code for ended in ends] == codes, ends
    return [torch.load(folder / f"{count}-{rank}.pt") for rank in range(count)], ends


@pytest.fixture(scope="module")
def first(sky: Any, folder: Path) -> tuple[Found, list[Ended]]:
    """The records of COUNT processes, of which one was asked to stop, and their ends."""
    return found_by(COUNT, [REQUEUE] * COUNT, folder, sky.store, folder)


@pytest.fixture(scope="module")
def several(first: tuple[Found, list[Ended]]) -> Found:
    return first[0]


@pytest.fixture(scope="module")
def later(sky: Any, folder: Path, several: Found) -> tuple[Found, list[Ended]]:
    """The records of LATER processes, of which the last was killed in the end, and their ends."""
    return found_by(LATER, [1, -9], folder, sky.store, folder, "--resume")


def test_global_batches(alone: dict[str, Any], several: Found) -> None:
    """The parts of the processes, one after the other, are the one process's batch: ids, and views bit for bit."""
    assert len(alone["steps"]) == 6
    for number, step in enumerate(alone["steps"]):
        parts = [process["steps"][number] for process in several]
        assert torch.equal(torch.cat([part["ids"] for part in parts]), step["ids"])
        assert torch.equal(torch.cat([part["views"] for part in parts]), step["views"])
        assert sum(part["share"] for part in parts) == pytest.approx(1)
    sizes = {len(process["steps"][0]["ids"]) for process in several}
    assert len(sizes) == 2  # 11 galaxies leave an uneven part


def test_losses_and_gradients(alone: dict[str, Any], several: Found) -> None:
    """Equal to one process's within rounding, in the first step; later ones start from weights that AdamW has moved."""
    for number, step in enumerate(alone["steps"]):
        loss = sum(process["steps"][number]["loss"] for process in several)
        assert float(loss) == pytest.approx(float(step["loss"]), rel=1e-6 if number == 0 else 1e-3)
    for process in several:
        for got, want in zip(process["steps"][0]["gradients"], alone["steps"][0]["gradients"], strict=True):
            assert (got - want).norm() <= 1e-5 * want.norm()


def test_processes_agree(alone: dict[str, Any], several: Found) -> None:
    """All have the RMSE of all validation galaxies, and the same gradients."""
    for process in several:
        assert process["rmse"] == several[0]["rmse"] == pytest.approx(alone["rmse"], rel=1e-3)
        for got, want in zip(process["steps"][-1]["gradients"], several[0]["steps"][-1]["gradients"], strict=True):
            assert torch.equal(got, want)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system lists no threads")
def test_no_thread_of_gloo_is_left(first: tuple[Found, list[Ended]]) -> None:
    """One that still has a tensor when Python ends aborts the process, with no word of why."""
    for found, ended in zip(*first, strict=True):
        assert found["threads"] > 1
        assert "threads: 1\n" in ended.said


def test_checkpoints_serve_any_number_of_processes(alone: dict[str, Any], later: tuple[Found, list[Ended]]) -> None:
    """Two processes end the run that three left after its second step, where one process that never stopped ends."""
    for process in later[0]:
        assert process["began"] == (0, 2)
        assert process["rmse"] == pytest.approx(alone["rmse"], rel=1e-3)


def test_the_rmse_is_of_the_network_that_is_saved(several: Found) -> None:
    """With batch norm and averages, whose statistics the processes gather apart: all answer with the first's."""
    for process in several:
        assert process["normed"]["rmse"] == pytest.approx(process["normed"]["saved"], rel=1e-7)


def test_one_process_writes(folder: Path, later: tuple[Found, list[Ended]]) -> None:
    for run in (f"whole-{COUNT}", "stopped"):
        lines = (folder / run / run_folder.METRICS).read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2"]


def test_a_process_that_dies_ends_all(later: tuple[Found, list[Ended]]) -> None:
    said = later[1][0].said
    assert "Expected all 2 processes to go on, got" in said
    assert "Traceback" not in said


def test_part_covers_a_batch() -> None:
    rows = torch.arange(11)
    for count in (1, 2, 3, 11):
        parts = [Processes(rank, count).part(rows) for rank in range(count)]
        assert torch.equal(torch.cat(parts), rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("environment", "processes"),
    [
        ({}, ALONE),
        ({"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}, Processes(1, 3, 0, 2)),
        ({"RANK": "1", "WORLD_SIZE": "3"}, Processes(1, 3, 1, 3)),
    ],
)
def test_from_environment(environment: dict[str, str], processes: Processes) -> None:
    assert from_environment(environment) == processes


@pytest.mark.daily
def test_processes_that_cannot_find_each_other(tmp_path: Path) -> None:
    """The message names the variable that a hand-written job script forgot."""
    ended = end(start(application("train", "--run", "run"), tmp_path, RANK=0, WORLD_SIZE=2))
    assert ended.code == 2
    assert "Expected processes that find each other" in ended.said
    assert "MASTER_ADDR" in ended.said
    assert "Traceback" not in ended.said


@pytest.mark.parametrize("rank", ["3", "-1", "first"])
def test_from_environment_refuses(rank: str) -> None:
    with pytest.raises(UsageFault, match="Expected a rank below WORLD_SIZE"):
        from_environment({"RANK": rank, "WORLD_SIZE": "3"})


def test_every_process_needs_a_galaxy_of_each_batch(make_session: Any, tmp_path: Path) -> None:
    session: Session = make_session(tmp_path, **{"run.batch_size": 2})
    with pytest.raises(UsageFault, match="Expected a galaxy for each of 3 processes, got batches of 1"):
        trainer_of(replace(session, processes=Processes(0, 3)))


def test_shared_statistics_need_as_many_parts_everywhere(make_session: Any, tmp_path: Path) -> None:
    session: Session = make_session(tmp_path, **{"run.accumulate": 4})
    config = override(session.config, {"run.sync_norm": True})
    with pytest.raises(UsageFault, match="Expected 4 galaxies in each process's batch, got 3"):
        trainer_of(replace(session, config=config, processes=Processes(0, 3)))


@pytest.mark.parametrize(
    ("settings", "processes", "wanted"),
    [
        ({"run.sync_norm": True}, 2, "several processes on CUDA GPUs, got 2 on cpu"),
        ({"run.sync_norm": True}, 1, "several processes on CUDA GPUs, got 1 on cpu"),
        ({"run.body": "graph"}, 2, "one process and whole batches"),
        ({"run.body": "graph", "run.accumulate": 2}, 1, "one process and whole batches"),
    ],
)
def test_choose_refuses(settings: dict[str, Any], processes: int, wanted: str) -> None:
    with pytest.raises(UsageFault, match=wanted):
        choose(override(SEED, {"run.device": "cpu", **settings}), processes)
