"""The backend of a run: its device, precision and implementations, each with the reason for the choice."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from galaxy_triton.config.schema import Config
from galaxy_triton.kernels import unavailable
from galaxy_triton.model.body import LAYERS, norm_unavailable
from galaxy_triton.model.device import DTYPES, REQUESTED, Choice, find_device, find_precision
from galaxy_triton.system.errors import UsageFault, expected

# The ways to run the network's body, by name: the options of torch.compile; None for the network as written.
BODIES: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "compile": {},
    "graph": {"mode": "reduce-overhead"},  # CUDA graphs of the forward and the backward pass
    "autotune": {"mode": "max-autotune"},  # also the fastest of many kernels for each operation: minutes at first
}
IN_GRAPHS = ("graph", "autotune")


@dataclass(frozen=True)
class Backend:
    """The choices of a run. resident: the place of the pixels; None before the store is known."""

    device: torch.device
    device_why: str
    precision: Choice
    augment: Choice
    loss: Choice
    body: Choice
    norm: Choice
    resident: Choice | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The type of the views and of the body's arithmetic."""
        return DTYPES[self.precision.name]

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the body runs."""
        if self.precision.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def choices(self) -> dict[str, Choice]:
        """The choices by what they choose, e.g. "precision"."""
        names = ("precision", "augment", "loss", "body", "norm", "resident")
        found = {name: choice for name in names if (choice := getattr(self, name)) is not None}
        return {"device": Choice(self.device.type, self.device_why)} | found

    def lines(self) -> list[str]:
        """The choices with their reasons as aligned text, one a line."""
        return [f"{name:<10} {choice}" for name, choice in self.choices().items()]

    def chosen(self) -> dict[str, str]:
        """The names of the choices, for config.toml and result rows."""
        return {name: choice.name for name, choice in self.choices().items()}


def choose(config: Config, processes: int = 1) -> Backend:
    """Settle every "auto" of a configuration for this machine and this number of processes.

    Raises:
        UsageFault: a choice that was named cannot run here; nothing replaces it.
    """
    run = config.run
    device, why = find_device(run.device)
    _check_combination(config, device, processes)
    precision, body = find_precision(run.precision, device), _choose_body(run.body, device)
    augment, loss = _choose_kernel("--augment", run.augment, device), _choose_kernel("--loss", run.loss, device)
    return Backend(device, why, precision, augment, loss, body, _choose_norm(config, device, body.name))


def _check_combination(config: Config, device: torch.device, processes: int) -> None:
    """Raise UsageFault for combinations that torch cannot run."""
    run, name = config.run, config.network.name
    if run.deterministic and device.type == "cuda" and name.startswith("vgg"):
        got, do = f"{name}, whose pooling has none on CUDA", "use --model galaxy-vgg or resnet50"
        raise UsageFault(expected("a network with a deterministic gradient", got, "--deterministic", do))
    if run.sync_norm and (device.type != "cuda" or processes == 1):
        got, do = f"{processes} on {device.type}", "start several processes there, or leave it out"
        raise UsageFault(expected("several processes on CUDA GPUs", got, "--sync-norm", do))
    if run.body in IN_GRAPHS and (processes > 1 or run.accumulate > 1):
        got = f"{processes} with {run.accumulate} parts: a CUDA graph overwrites gradients that are still to be added"
        raise UsageFault(expected("one process and whole batches", got, f"--body {run.body}", "use --body compile"))


def compile_body(body: str, network: nn.Module) -> nn.Module:
    """The network as `body` (a name in BODIES) runs it; its parameters are those of `network`."""
    options = BODIES[body]
    if options is None:
        return network
    module: nn.Module = torch.compile(network, dynamic=False, **options)  # type: ignore[assignment]
    return module


def body_unavailable(body: str, device: torch.device) -> str | None:
    """Why the network's body cannot run this way (a name in BODIES) on `device`; None if it can."""
    if body == "eager":
        return None
    if body in IN_GRAPHS and device.type != "cuda":
        return f"CUDA graphs need a CUDA GPU, and the device is {device.type}"
    return unavailable("compile", device)


def _require(option: str, name: str, reason: str | None, default: str) -> Choice:
    """The choice that the user named; UsageFault if there is a reason why it cannot run."""
    if reason is not None:
        raise UsageFault(expected(f"a run for {option} {name}", reason, option, f"use {option} auto or {default}"))
    return Choice(name, REQUESTED)


def _choose_kernel(option: str, name: str, device: torch.device) -> Choice:
    if name != "auto":
        return _require(option, name, unavailable(name, device), "torch")
    reason = unavailable("triton", device) if device.type == "cuda" else "not on a CUDA GPU"
    return Choice("triton", "runs here") if reason is None else Choice("torch", reason)


def _choose_norm(config: Config, device: torch.device, body: str) -> Choice:
    """The closed form is faster on the CPU, unless the layers around it are compiled; elsewhere it is not measured."""
    name, network = config.run.norm, config.network.name
    if name == "auto":
        eager_cpu = device.type == "cpu" and body == "eager" and network == "galaxy-vgg"
        return Choice("torch", "a quarter of the work of torch's layers") if eager_cpu else Choice(LAYERS, "default")
    reason = norm_unavailable(network, name, device)
    if reason is None and name != LAYERS and config.run.sync_norm:
        reason = "--sync-norm needs torch's own"
    return _require("--norm", name, reason, LAYERS)


def _choose_body(name: str, device: torch.device) -> Choice:
    if name != "auto":
        return _require("--body", name, body_unavailable(name, device), "eager")
    if device.type != "cuda":
        return Choice("eager", f"default on {device.type.upper()}")
    reason = body_unavailable("compile", device)
    return Choice("compile", "runs here") if reason is None else Choice("eager", reason)
