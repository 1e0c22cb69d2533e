"""The backend of a run: its device, precision and implementations, each with the reason for the choice."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from galaxy_triton.config.schema import Config, Run
from galaxy_triton.model import head, views
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
        found = {name: getattr(self, name) for name in names}
        return {"device": Choice(self.device.type, self.device_why)} | {k: v for k, v in found.items() if v is not None}

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
    run, network = config.run, config.network
    device, why = find_device(run.device)
    if run.deterministic and device.type == "cuda" and network.name.startswith("vgg"):
        do = "use --model galaxy-vgg or resnet50"
        got = f"{network.name}, whose pooling has none on CUDA"
        raise UsageFault(expected("a network with a deterministic gradient", got, "--deterministic", do))
    _check_combination(run, device, processes)
    body = _choose_body(run.body, device)
    return Backend(
        device,
        why,
        find_precision(run.precision, device),
        _choose_implementation("--augment", run.augment, device, lambda impl: views.unavailable(impl, device)),
        _choose_implementation("--loss", run.loss, device, lambda impl: head.unavailable(network.head, impl, device)),
        body,
        _choose_norm(config, device, body.name),
    )


def _check_combination(run: Run, device: torch.device, processes: int) -> None:
    """Raise UsageFault for combinations that torch cannot run with several processes or with a batch in parts."""
    if run.sync_norm and (device.type != "cuda" or processes == 1):
        got = f"{processes} on {device.type}"
        do = "start several processes there, or leave it out"
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
    return views.unavailable("compile", device)


def _choose_implementation(
    option: str, name: str, device: torch.device, why_not: Callable[[str], str | None]
) -> Choice:
    if name == "auto":
        reason = why_not("triton") if device.type == "cuda" else "not on a CUDA GPU"
        return Choice("triton", "runs here") if reason is None else Choice("torch", reason)
    reason = why_not(name)
    if reason is not None:
        raise UsageFault(expected(f"a machine for {option} {name}", reason, option, f"use {option} auto or torch"))
    return Choice(name, REQUESTED)


def _choose_norm(config: Config, device: torch.device, body: str) -> Choice:
    """The closed form is faster on the CPU, unless the layers around it are compiled; elsewhere it is not measured."""
    name, network = config.run.norm, config.network.name
    if name == "auto":
        eager_cpu = device.type == "cpu" and body == "eager" and network == "galaxy-vgg"
        return Choice("torch", "a quarter of the work of torch's layers") if eager_cpu else Choice(LAYERS, "default")
    reason = norm_unavailable(network, name, device)
    if reason is None and name != LAYERS and config.run.sync_norm:
        reason = "--sync-norm needs torch's own"
    if reason is not None:
        raise UsageFault(expected(f"a run for --norm {name}", reason, "--norm", "use --norm auto or layers"))
    return Choice(name, REQUESTED)


def _choose_body(name: str, device: torch.device) -> Choice:
    if name == "auto":
        if device.type != "cuda":
            return Choice("eager", f"default on {device.type.upper()}")
        reason = body_unavailable("compile", device)
        return Choice("compile", "runs here") if reason is None else Choice("eager", reason)
    reason = body_unavailable(name, device)
    if reason is not None:
        raise UsageFault(expected(f"a machine for --body {name}", reason, "--body", "use --body auto or eager"))
    return Choice(name, REQUESTED)
