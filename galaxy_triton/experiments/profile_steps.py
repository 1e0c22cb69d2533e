"""A few steps of a training recorded by torch's profiler: their trace, and where their time went."""

import json
import tempfile
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, kineto_available, profile, schedule, supported_activities

from galaxy_triton.experiments.profile_shares import StepShares, read_shares
from galaxy_triton.system.errors import DataFault, expected


def unavailable(device: torch.device) -> str | None:
    """Why torch's profiler cannot record the work of `device`; None if it can."""
    if not kineto_available():
        return "this torch was built without a profiler"
    if device.type == "cuda" and ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
        return "this torch was built without a profiler for GPUs"
    return None if device.type in ("cuda", "cpu") else f"torch's profiler does not record {device.type}"


class StepProfiler:
    """Records `steps` steps after the first `skip` ones, which compile and warm up (at least one).

    with StepProfiler(device, skip=3, steps=5) as profiler:
        for batch in batches:
            ...
            profiler.step()

    found, trace: the shares, and the trace as torch exports it (JSON); None and empty until the last of these steps.
    """

    def __init__(self, device: torch.device, skip: int, steps: int) -> None:
        self.device, self.skip, self.steps = device, skip, steps
        self.found: StepShares | None = None
        self.trace = b""
        self._made = 0
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        when = schedule(wait=skip - 1, warmup=1, active=steps, repeat=1)
        self._torch = profile(activities=activities, schedule=when, on_trace_ready=self._read)

    def __enter__(self) -> "StepProfiler":
        self._torch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._torch.stop()

    def step(self) -> None:
        """Another step was made.

        Raises:
            DataFault: the disk has no room for the trace.
        """
        self._made += 1
        # A GPU may be behind; its kernels must be those of the steps that are recorded.
        if self.device.type == "cuda" and self._made in (self.skip, self.skip + self.steps):
            torch.cuda.synchronize(self.device)
        self._torch.step()

    def _read(self, recorded: profile) -> None:
        if self._made < self.skip + self.steps:  # the training ended before
            return
        trace = _exported(recorded)
        try:
            events = json.loads(trace)["traceEvents"]
        # torch's profiler does not report a full disk
        except ValueError as error:
            do = f"free some space in {tempfile.gettempdir()}"
            raise DataFault(expected("a whole trace", f"{len(trace)} bytes", "torch's profiler", do)) from error
        self.trace, self.found = trace, read_shares(events, self.device.type)


def _exported(recorded: profile) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(file))
        return file.read_bytes() if file.is_file() else b""
