"""The processes that work together, as torchrun or srun start them: which one this is, and what they agree on."""

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
    """One process of `count`. local: its place among the `beside` of its machine, which is its GPU."""

    rank: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1
    joined: bool = True  # False in a dry run, in which the other processes need not be there

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """This process's part of a batch's rows; sizes differ by one at most."""
        return torch.tensor_split(rows, self.count)[self.rank]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes of `values`, which is overwritten."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def agree(self, value: Value) -> Value:
        """The first process's value, in all of them."""
        return self.gather(value)[0]

    def gather(self, value: Value) -> list[Value]:
        """Every process's value, by rank; in a dry run this one's alone."""
        if self.count == 1 or not self.joined:
            return [value]
        values: list[Value] = [value] * self.count
        dist.all_gather_object(values, value)
        return values

    def differing(self, value: object) -> str | None:
        """The processes' values as text where they are not all equal; None where they are."""
        values = self.gather(value)
        if all(other == values[0] for other in values):
            return None
        return ", ".join(f"{each} in process {rank}" for rank, each in enumerate(values))

    def by_first(self, act: Callable[[], Value]) -> Value:
        """Do what only the first process does; all wait for it and have its value, and a fault of it ends all."""
        done: Value | Exception | None = None
        if self.first:
            try:
                done = act()
            except (DataFault, UsageFault, OSError) as error:
                done = error
        done = self.agree(done)
        if isinstance(done, Exception):
            raise done
        return cast(Value, done)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite these tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def together(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network whose gradients are averaged over the processes as they are computed."""
        if self.count == 1:
            return network
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True)


ALONE = Processes()


def from_environment(environment: Mapping[str, str]) -> Processes:
    """Who this process is by RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, which torchrun sets.

    Raises:
        UsageFault: they are no such numbers.
    """
    try:
        rank, count = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
        # Without a word of it, all are taken to share one machine and its memory.
        beside = int(environment.get("LOCAL_WORLD_SIZE", count))
        processes = Processes(rank, count, int(environment.get("LOCAL_RANK", rank)), beside)
        if not 0 <= processes.rank < processes.count or processes.local < 0 or processes.beside < 1:
            raise ValueError(f"rank {processes.rank} of {processes.count}")
    except ValueError as error:
        do = "start it with torchrun, or unset RANK and WORLD_SIZE"
        raise UsageFault(expected("a rank below WORLD_SIZE", error, "RANK, WORLD_SIZE, LOCAL_RANK", do)) from error
    return processes


def require_alone(command: str) -> None:
    """Raise where several processes were started together, for what only one can do.

    Raises:
        UsageFault: there are several.
    """
    here = from_environment(os.environ)
    if here.count > 1:
        do = "start it without torchrun; `train` and `predict` share their work"
        raise UsageFault(expected(f"one process for `{command}`", here.count, "WORLD_SIZE", do))


def speaks() -> bool:
    """Whether this is the only process, or the first of those that were started together."""
    return from_environment(os.environ).first


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that were started with this one, and leave them at the end of the block.

    A process that ends before it should ends the others: at once where they talk through gloo or torchrun started
    them, else when NCCL's time is up, after ten minutes.

    Args:
        device: as a run is asked for it ("auto", "cuda", "mps" or "cpu"); on CUDA each process takes a GPU of its own.

    Raises:
        UsageFault: fewer GPUs than processes on this machine, an Apple GPU, or processes that cannot find each other.
        DataFault: another process ended before it should.
    """
    here = from_environment(os.environ)
    if here.count == 1:
        yield here
        return
    with _others_watched(here):
        backend = _backend(device, here)
        _meet(backend)
        with _left_at_the_end(waits=backend != "gloo"):
            yield here


def _meet(backend: str) -> None:
    # DDP imports it later, and its functions keep the group of that moment as a default: held so, gloo's threads
    # outlive the group, and one that still has a tensor when Python ends aborts the process.
    importlib.import_module("torch.distributed.nn")
    try:
        dist.init_process_group(backend, init_method="env://")
    except (ValueError, RuntimeError) as error:
        got, do = str(error).splitlines()[0].strip(), "start them with torchrun, or give all the same address and port"
        want = "processes that find each other"
        raise UsageFault(expected(want, got, "MASTER_ADDR, MASTER_PORT", do)) from error


@contextmanager
def _left_at_the_end(waits: bool) -> Iterator[None]:
    """Leave the others at the end of the block. waits: NCCL would, after a fault, for processes that wait for this."""
    try:
        yield
    except BaseException as error:
        # all stop after the same step
        if not waits or isinstance(error, Stopped):
            _forget(error)
            _leave()
        raise
    _leave()


def _forget(error: BaseException | None) -> None:
    """Let go of what the functions held that an error ended, and those that it came from."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _leave() -> None:
    gc.collect()  # what trained holds itself in circles, and DDP's reducer the group
    # Destroyed last: torch 2.6 would else wait for gloo's threads with Python's lock, which they may want.
    gloo = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del gloo


def _backend(device: str, here: Processes) -> str:
    """Gloo moves what lies in host memory; on CUDA the GPUs talk through NCCL."""
    if device == "mps":
        do = "start one process"
        raise UsageFault(expected("one process on an Apple GPU", f"{here.count}", "--device mps", do))
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if here.local >= torch.cuda.device_count():
        got = f"{torch.cuda.device_count()} for process {here.local + 1}"
        raise UsageFault(expected("a GPU for each process", got, "LOCAL_RANK", "start fewer processes on this machine"))
    torch.cuda.set_device(here.local)
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _others_watched(here: Processes) -> Iterator[None]:
    """What torch says of a process that is gone becomes a fault that says where to look."""
    try:
        yield
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        got = str(error).splitlines()[0].strip()
        do = "look at what the process that ended first has said; what was saved is whole"
        want = f"all {here.count} processes to go on"
        raise DataFault(expected(want, got, f"rank {here.rank}", do)) from error


def _lost_another(error: RuntimeError) -> bool:
    # Gloo raises bare RuntimeErrors, DDP and NCCL some of torch's own.
    words = ("gloo", "connection closed", "connection reset", "socket", "broken pipe", "nccl", "timed out")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)
