"""What a run uses of the machine it is on: each choice of device, precision and implementation, with its reason."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from galaxy_triton.config.schema import Config, Run
from galaxy_triton.model import head, views
from galaxy_triton.model.body import LAYERS, norm_unavailable
from galaxy_triton.model.device import DTYPES, Choice, find_device, find_precision
from galaxy_triton.system.errors import UsageFault, expected


@dataclass(frozen=True)
class Backend:
    """The choices of a run."""

    device: torch.device
    device_why: str
    precision: Choice
    augment: Choice
    loss: Choice
    body: Choice
    norm: Choice
    resident: Choice | None = None  # where the pixels lie; not settled before the store is known

    @property
    def dtype(self) -> torch.dtype:
        """Of the views and of the body's arithmetic."""
        return DTYPES[self.precision.name]

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the body runs."""
        if self.precision.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def lines(self) -> list[str]:
        """The choices as text, one a line."""
        rest = [f"{what:<10} {choice.name:<8} {choice.why}" for what, choice in self._choices().items()]
        return [f"{'device':<10} {self.device.type:<8} {self.device_why}", *rest]

    def chosen(self) -> dict[str, str]:
        """The choices by name, for config.toml and result rows."""
        return {"device": self.device.type, **{what: choice.name for what, choice in self._choices().items()}}

    def _choices(self) -> dict[str, Choice]:
        names = ("precision", "augment", "loss", "body", "norm", "resident")
        return {name: choice for name in names if (choice := getattr(self, name)) is not None}


def choose(config: Config, processes: int = 1) -> Backend:
    """Settle every "auto" for this machine.

    Args:
        config: of the run. processes: how many work together.

    Raises:
        UsageFault: something asked for by name cannot run here; nothing is put in its place.
    """
    run = config.run
    device, why = find_device(run.device)
    if run.deterministic and device.type == "cuda" and config.network.name.startswith("vgg"):
        do = "use --model galaxy-vgg or resnet50"
        got = f"{config.network.name}, whose pooling has none on CUDA"
        raise UsageFault(expected("a network with a deterministic gradient", got, "--deterministic", do))
    _check_together(run, device, processes)
    kernel_reason = views.unavailable("triton", device) if device.type == "cuda" else "not on a CUDA GPU"
    loss_reason = head.unavailable(config.network.head, "triton", device) if kernel_reason is None else kernel_reason
    if device.type == "cuda":
        why = f"{torch.cuda.get_device_name(device)}, {why}"
    body = _body(run.body, device)
    return Backend(
        device,
        why,
        find_precision(run.precision, device),
        _implementation("--augment", run.augment, kernel_reason, lambda name: views.unavailable(name, device)),
        _implementation(
            "--loss", run.loss, loss_reason, lambda name: head.unavailable(config.network.head, name, device)
        ),
        body,
        _norm(config, device, body.name),
    )


def _check_together(run: Run, device: torch.device, processes: int) -> None:
    """Raise for what torch cannot do with several processes, or with a batch in parts."""
    if run.sync_norm and (device.type != "cuda" or processes == 1):
        got = f"{processes} on {device.type}"
        do = "start several processes there, or leave it out"
        raise UsageFault(expected("several processes on CUDA GPUs", got, "--sync-norm", do))
    if run.body in IN_GRAPHS and (processes > 1 or run.accumulate > 1):
        got = f"{processes} with {run.accumulate} parts: a CUDA graph overwrites gradients that are still to be added"
        raise UsageFault(expected("one process and whole batches", got, f"--body {run.body}", "use --body compile"))


def compiled(body: str, network: nn.Module) -> nn.Module:
    """The network as `body` (a name in BODIES) runs it; parameters stay those of `network`."""
    return BODIES[body](network)


def _compile(network: nn.Module) -> nn.Module:
    module: nn.Module = torch.compile(network, dynamic=False)  # type: ignore[assignment]
    return module


def _graph(network: nn.Module) -> nn.Module:
    """CUDA graphs of the forward and the backward pass, by torch's own trees of them."""
    module: nn.Module = torch.compile(network, mode="reduce-overhead", dynamic=False)  # type: ignore[assignment]
    return module


def _autotune(network: nn.Module) -> nn.Module:
    """As `_graph`, with the fastest of many kernels for each product and convolution: minutes at the first step."""
    module: nn.Module = torch.compile(network, mode="max-autotune", dynamic=False)  # type: ignore[assignment]
    return module


BODIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "eager": lambda network: network,
    "compile": _compile,
    "graph": _graph,
    "autotune": _autotune,
}
IN_GRAPHS = ("graph", "autotune")


def _implementation(option: str, asked: str, triton_reason: str | None, why_not: Callable[[str], str | None]) -> Choice:
    if asked == "auto":
        return Choice("triton", "runs here") if triton_reason is None else Choice("torch", triton_reason)
    reason = why_not(asked)
    if reason is not None:
        raise UsageFault(expected(f"a machine for {option} {asked}", reason, option, f"use {option} auto or torch"))
    return Choice(asked, "asked for")


def _norm(config: Config, device: torch.device, body: str) -> Choice:
    """On the CPU the closed form wins, unless the compiler has the layers around it; elsewhere nobody has measured."""
    asked, name = config.run.norm, config.network.name
    if asked == "auto":
        eager_cpu = device.type == "cpu" and body == "eager" and name == "galaxy-vgg"
        return Choice("torch", "a quarter of the work of its layers") if eager_cpu else Choice(LAYERS, "torch's own")
    reason = norm_unavailable(name, asked, device)
    if reason is None and asked != LAYERS and config.run.sync_norm:
        reason = "--sync-norm needs torch's own"
    if reason is not None:
        raise UsageFault(expected(f"a run for --norm {asked}", reason, "--norm", "use --norm auto or layers"))
    return Choice(asked, "asked for")


def body_unavailable(body: str, device: torch.device) -> str | None:
    """Why the network's body cannot run this way (a name in BODIES) on `device`; None if it can."""
    if body == "eager":
        return None
    if body in IN_GRAPHS and device.type != "cuda":
        return f"CUDA graphs need a CUDA GPU, and the device is {device.type}"
    return views.unavailable("compile", device)


def _body(asked: str, device: torch.device) -> Choice:
    if asked == "auto":
        if device.type != "cuda":
            return Choice("eager", f"the choice for {device.type}")
        reason = body_unavailable("compile", device)
        return Choice("compile", "runs here") if reason is None else Choice("eager", reason)
    reason = body_unavailable(asked, device)
    if reason is not None:
        raise UsageFault(expected(f"a machine for --body {asked}", reason, "--body", "use --body auto or eager"))
    return Choice(asked, "asked for")
