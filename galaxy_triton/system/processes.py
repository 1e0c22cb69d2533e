"""The processes of a distributed run, as torchrun or srun start them: this process's rank, and what they exchange."""

import gc
import importlib
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from galaxy_triton.system.errors import DataFault, Stopped, UsageFault, expected

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """This process among all of a run.

    rank: from 0 to count - 1. local: rank among the `local_count` processes of this machine, and number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1
    joined: bool = True  # False in a dry run, which does not wait for the other processes

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """This process's part of a batch's rows; the parts' sizes differ by at most one."""
        return torch.tensor_split(rows, self.count)[self.rank]

    def sum(self, values: Tensor) -> Tensor:
        """Overwrite `values` by their sum over the processes, and return them."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def agree(self, value: Value) -> Value:
        """The first process's value, on every process."""
        return self.gather(value)[0]

    def gather(self, value: Value) -> list[Value]:
        """Every process's value, by rank; in a dry run this one's alone."""
        if self.count == 1 or not self.joined:
            return [value]
        values: list[Value] = [value] * self.count
        dist.all_gather_object(values, value)
        return values

    def describe_difference(self, value: object) -> str | None:
        """The processes' values as text if they differ; None if all are equal."""
        values = self.gather(value)
        if all(other == values[0] for other in values):
            return None
        return ", ".join(f"{each} in process {rank}" for rank, each in enumerate(values))

    def by_first(self, act: Callable[[], Value]) -> Value:
        """Call `act` on the first process; all wait for it and return its value, or raise its fault."""
        outcome: Value | Exception | None = None
        if self.first:
            try:
                outcome = act()
            except (DataFault, UsageFault, OSError) as error:
                outcome = error
        outcome = self.agree(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return cast(Value, outcome)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by the first process's."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def average_gradients(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Wrap the network so that its backward pass averages gradients over the processes."""
        if self.count == 1:
            return network
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True)


ALONE = Processes()


def from_environment(environment: Mapping[str, str]) -> Processes:
    """This process by RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, which torchrun sets.

    Raises:
        UsageFault: a variable is no number, or is out of range.
    """
    try:
        rank, count = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
        # If LOCAL_WORLD_SIZE is unset, assume all processes share this machine.
        local, local_count = int(environment.get("LOCAL_RANK", rank)), int(environment.get("LOCAL_WORLD_SIZE", count))
        if not 0 <= rank < count or local < 0 or local_count < 1:
            raise ValueError(f"rank {rank} of {count}")
    except ValueError as error:
        do = "start it with torchrun, or unset RANK and WORLD_SIZE"
        raise UsageFault(expected("a rank below WORLD_SIZE", error, "RANK, WORLD_SIZE, LOCAL_RANK", do)) from error
    return Processes(rank, count, local, local_count)


def require_alone(command: str) -> None:
    """Raise if several processes were started together for a command that only one can do.

    Raises:
        UsageFault: there are several processes.
    """
    here = from_environment(os.environ)
    if here.count > 1:
        do = "start it without torchrun; `train` and `predict` share their work"
        raise UsageFault(expected(f"one process for `{command}`", here.count, "WORLD_SIZE", do))


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that were started with this one, and leave them at the end of the block.

    If a process ends early, the others end too: at once with gloo or under torchrun, else at NCCL's timeout of ten
    minutes.

    Args:
        device: "auto", "cuda", "mps" or "cpu"; on CUDA each process takes its own GPU.

    Raises:
        UsageFault: fewer GPUs than processes on this machine, an Apple GPU, or processes that cannot find each other.
        DataFault: another process ended early.
    """
    here = from_environment(os.environ)
    if here.count == 1:
        yield here
        return
    with _report_lost_process(here):
        backend = _choose_backend(device, here)
        _init_group(backend)
        with _leave_at_end(backend):
            yield here


def _init_group(backend: str) -> None:
    # DDP imports this module later, and its functions would keep the group as a default argument: gloo's threads would
    # outlive the group, and a thread that still has a tensor when Python ends aborts the process.
    importlib.import_module("torch.distributed.nn")
    try:
        dist.init_process_group(backend, init_method="env://")
    except (ValueError, RuntimeError) as error:
        got, do = str(error).splitlines()[0].strip(), "start them with torchrun, or give all the same address and port"
        want = "processes that find each other"
        raise UsageFault(expected(want, got, "MASTER_ADDR, MASTER_PORT", do)) from error


@contextmanager
def _leave_at_end(backend: str) -> Iterator[None]:
    """Destroy the group at the end of the block.

    After a fault NCCL would wait for processes that wait for this one, so the group is then left to the process's end.
    """
    try:
        yield
    except BaseException as error:
        # Stopped comes on all processes after the same step.
        if backend == "gloo" or isinstance(error, Stopped):
            _clear_frames(error)
            _destroy_group()
        raise
    _destroy_group()


def _clear_frames(error: BaseException | None) -> None:
    """Free the local variables of the functions in an error's traceback, and in those of its causes."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _destroy_group() -> None:
    gc.collect()  # a trainer is in reference cycles, and holds DDP's reducer, which holds the group
    # Deleted last: torch 2.6 would otherwise wait for gloo's threads while it holds Python's lock, which they may need.
    gloo = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del gloo


def _choose_backend(device: str, here: Processes) -> str:
    """torch's backend: gloo for tensors in host memory, NCCL for those on CUDA GPUs."""
    if device == "mps":
        do = "start one process"
        raise UsageFault(expected("one process on an Apple GPU", here.count, "--device mps", do))
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if here.local >= torch.cuda.device_count():
        got = f"{torch.cuda.device_count()} for process {here.local + 1}"
        raise UsageFault(expected("a GPU for each process", got, "LOCAL_RANK", "start fewer processes on this machine"))
    torch.cuda.set_device(here.local)
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _report_lost_process(here: Processes) -> Iterator[None]:
    """Turn torch's errors about a process that is gone into a DataFault."""
    try:
        yield
    except RuntimeError as error:
        # Gloo raises bare RuntimeErrors, DDP and NCCL torch's own classes.
        words = ("gloo", "connection closed", "connection reset", "socket", "broken pipe", "nccl", "timed out")
        if not (isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)):
            raise
        got = str(error).splitlines()[0].strip()
        do = "look at the output of the process that ended first; the last checkpoint is whole"
        want = f"all {here.count} processes to go on"
        raise DataFault(expected(want, got, f"rank {here.rank}", do)) from error
