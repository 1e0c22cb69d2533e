"""Several processes as one: the same galaxies with the same views, losses and gradients, on any number of them."""

import re
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
from galaxy_triton.train.session import Session
from tests.processes import rank_job
from tests.support.processes import application, end, start, together
from tests.support.sessions import trainer_of

JOB = Path(rank_job.__file__)
LEAVE = JOB.with_name("leave_job.py")


def job(*words: object) -> list[str]:
    """The command that runs rank_job.py."""
    return [sys.executable, str(JOB), *map(str, words)]


@pytest.fixture(scope="module")
def found(sky: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each process noted, by their number. The run that two leave stopped, three end."""
    out = tmp_path_factory.mktemp("ranks")
    alone = rank_job.train_whole(sky.store, out / "whole-1", ALONE)
    for count in (2, 3):
        ends = together(count, job(sky.store, out, *["--resume"] * (count == 3)), JOB.parent)
        assert [end.code for end in ends] == [0] * count, ends
    several = {count: [torch.load(out / f"{count}-{rank}.pt") for rank in range(count)] for count in (2, 3)}
    return {1: [alone], **several, 0: [{"folder": out}]}


@pytest.mark.parametrize("count", [2, 3])
def test_global_batches(found: dict[int, list[dict[str, Any]]], count: int) -> None:
    """The parts of the processes, one after the other, are the one process's batch: ids, and views bit for bit."""
    (alone,) = found[1]
    assert len(alone["steps"]) == 6
    for number, step in enumerate(alone["steps"]):
        parts = [process["steps"][number] for process in found[count]]
        assert torch.equal(torch.cat([part["ids"] for part in parts]), step["ids"])
        assert torch.equal(torch.cat([part["views"] for part in parts]), step["views"])
        assert sum(part["share"] for part in parts) == pytest.approx(1)
    sizes = {len(process["steps"][0]["ids"]) for process in found[count]}
    assert len(sizes) == 2  # 11 galaxies leave an uneven part


@pytest.mark.parametrize("count", [2, 3])
def test_losses_and_gradients(found: dict[int, list[dict[str, Any]]], count: int) -> None:
    """Equal to one process's within rounding, in the first step; later ones start from weights that AdamW has moved."""
    (alone,) = found[1]
    for number, step in enumerate(alone["steps"]):
        loss = sum(process["steps"][number]["loss"] for process in found[count])
        assert float(loss) == pytest.approx(float(step["loss"]), rel=1e-6 if number == 0 else 1e-3)
    for process in found[count]:
        for got, want in zip(process["steps"][0]["gradients"], alone["steps"][0]["gradients"], strict=True):
            assert (got - want).norm() <= 1e-5 * want.norm()


@pytest.mark.parametrize("count", [2, 3])
def test_processes_agree(found: dict[int, list[dict[str, Any]]], count: int) -> None:
    """All have the RMSE of all galaxies held out, and the same gradients."""
    (alone,) = found[1]
    for process in found[count]:
        assert process["rmse"] == found[count][0]["rmse"] == pytest.approx(alone["rmse"], rel=1e-3)
        for got, want in zip(process["steps"][-1]["gradients"], found[count][0]["steps"][-1]["gradients"], strict=True):
            assert torch.equal(got, want)


def test_a_stop_of_one_stops_all(found: dict[int, list[dict[str, Any]]]) -> None:
    """After the same step, with the same exit code."""
    assert [process["stopped"] for process in found[2]] == [{"code": 75, "step": 2}] * 2


def test_checkpoints_serve_any_number_of_processes(found: dict[int, list[dict[str, Any]]]) -> None:
    """Three processes end the run that two left, where one process that never stopped ends."""
    (alone,) = found[1]
    for process in found[3]:
        assert process["resumed"]["began"] == (0, 2)
        assert process["resumed"]["rmse"] == pytest.approx(alone["rmse"], rel=1e-3)


def test_the_rmse_is_of_the_network_that_is_saved(found: dict[int, list[dict[str, Any]]]) -> None:
    """With batch norm and averages, whose statistics the processes gather apart: all answer with the first's."""
    for process in found[2]:
        assert process["normed"]["rmse"] == pytest.approx(process["normed"]["saved"], rel=1e-7)


def test_one_process_writes(found: dict[int, list[dict[str, Any]]]) -> None:
    out = found[0][0]["folder"]
    for folder in ("whole-2", "whole-3", "stopped"):
        lines = (out / folder / run_folder.METRICS).read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2"]


def test_a_process_that_dies_ends_all(sky: Any, tmp_path: Path) -> None:
    first, killed = together(2, job(sky.store, tmp_path, "--die"), JOB.parent)
    assert killed.code == -9
    assert first.code == 1
    assert "Expected all 2 processes to go on, got" in first.said
    assert "Traceback" not in first.said


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system lists no threads")
@pytest.mark.parametrize("how", ["done", "stopped", "failed"])
def test_no_thread_of_gloo_is_left(how: str) -> None:
    """One that still has a tensor when Python ends aborts the process, with no word of why."""
    for ended in together(2, [sys.executable, str(LEAVE), how], JOB.parent):
        during, after = map(int, re.findall(r"^\d+$", ended.said, re.MULTILINE))
        assert (ended.code, during > 1, after) == (0, True, 1), ended


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
    """What a hand-written job script forgets is said, not traced."""
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


@pytest.mark.parametrize(("settings", "processes"), [({"run.sync_norm": True}, 2), ({"run.sync_norm": True}, 1)])
def test_shared_statistics_need_gpus(settings: dict[str, Any], processes: int) -> None:
    with pytest.raises(UsageFault, match=f"Expected several processes on CUDA GPUs, got {processes} on cpu"):
        choose(override(SEED, {"run.device": "cpu", **settings}), processes)


@pytest.mark.parametrize(("settings", "processes"), [({}, 2), ({"run.accumulate": 2}, 1)])
def test_graphs_need_whole_batches(settings: dict[str, Any], processes: int) -> None:
    with pytest.raises(UsageFault, match="Expected one process and whole batches"):
        choose(override(SEED, {"run.device": "cpu", "run.body": "graph", **settings}), processes)
