"""A few steps of a training recorded by torch's profiler."""

import json
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, kineto_available, profile, schedule, supported_activities

from galaxy_triton.system.errors import DataFault, expected


def unavailable(device: torch.device) -> str | None:
    """Why torch's profiler cannot record the work of `device`; None if it can."""
    if not kineto_available():
        return "this torch was built without a profiler"
    if device.type == "cuda" and ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
        return "this torch was built without a profiler for GPUs"
    return None if device.type in ("cuda", "cpu") else f"torch's profiler does not record {device.type}"


class StepProfiler(profile):
    """torch's profiler of `steps` steps after the first `skip` ones, which compile and warm up (at least one).

    with StepProfiler(device, skip=3, steps=5) as profiler:
        for batch in batches:
            ...
            profiler.step()
    """

    def __init__(self, device: torch.device, skip: int, steps: int) -> None:
        self.device, self.skip, self.last = device, skip, skip + steps
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        super().__init__(activities=activities, schedule=schedule(wait=skip - 1, warmup=1, active=steps, repeat=1))

    @property
    def complete(self) -> bool:
        """Whether all these steps were recorded."""
        return self.step_num >= self.last

    def step(self) -> None:
        """Another step was made."""
        # A GPU may be behind; its kernels must be those of the steps that are recorded.
        if self.device.type == "cuda" and self.step_num + 1 in (self.skip, self.last):
            torch.cuda.synchronize(self.device)
        super().step()

    def trace(self) -> bytes:
        """The recorded steps as JSON, in Chrome's format.

        Raises:
            DataFault: the disk has no room for it.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            self.export_chrome_trace(str(file))
            trace = file.read_bytes() if file.is_file() else b""
        try:
            json.loads(trace)
        # torch's profiler does not report a full disk
        except ValueError as error:
            do = f"free some space in {tempfile.gettempdir()}"
            raise DataFault(expected("a whole trace", f"{len(trace)} bytes", "torch's profiler", do)) from error
        return trace
