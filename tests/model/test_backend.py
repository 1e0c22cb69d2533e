"""The choices for a machine, with their reasons; a named choice that cannot run is refused, never replaced."""

import ctypes
import resource
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config, Network
from galaxy_triton.kernels import availability
from galaxy_triton.model.backend import Backend, choose, compile_body
from galaxy_triton.model.device import free_memory, keep_freed_memory, peak_memory
from galaxy_triton.system.errors import UsageFault

MakeMachine = Any
KINDS = ("device", "precision", "augment", "loss", "body", "norm")


def config(head: str = "sigmoid", **run: Any) -> Config:
    return replace(SEED, network=Network(head=head), run=replace(SEED.run, **run))


def names(backend: Backend) -> tuple[str, ...]:
    return (backend.device.type, *(getattr(backend, what).name for what in KINDS[1:]))


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> MakeMachine:
    """pretend(cuda=(8, 0)): a machine with such a GPU, and a compiler or not; kernels are not interpreted."""

    def make(cuda: tuple[int, int] | None = None, mps: bool = False, compiler: bool = True) -> None:
        reason = None if compiler else "no C compiler was found"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla T4")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(availability, "is_interpreted", lambda: False)
        monkeypatch.setattr(availability, "compiler_reason", lambda: reason)

    return make


@pytest.mark.parametrize(
    ("computer", "head", "want"),
    [
        ({"cuda": (9, 0)}, "sigmoid", ("cuda", "bf16", "triton", "triton", "compile", "layers")),
        ({"cuda": (7, 5)}, "sigmoid", ("cuda", "fp16", "triton", "triton", "compile", "layers")),
        ({"cuda": (7, 0)}, "sigmoid", ("cuda", "fp16", "torch", "torch", "eager", "layers")),
        ({"cuda": (9, 0), "compiler": False}, "sigmoid", ("cuda", "bf16", "torch", "torch", "eager", "layers")),
        ({"mps": True}, "sigmoid", ("mps", "fp32", "torch", "torch", "eager", "layers")),
        ({}, "sigmoid", ("cpu", "fp32", "torch", "torch", "eager", "torch")),
        ({}, "tree", ("cpu", "fp32", "torch", "torch", "eager", "torch")),
    ],
    ids=str,
)
def test_choose(computer: dict[str, Any], head: str, want: tuple[str, ...], pretend: MakeMachine) -> None:
    pretend(**computer)
    chosen = choose(config(head))
    assert names(chosen) == want
    assert chosen.chosen() == dict(zip(KINDS, want, strict=True))
    assert all(choice.why for choice in chosen.choices().values())
    assert all(name in line for line, name in zip(chosen.lines(), want, strict=True))


def test_choose_says_why_not(pretend: MakeMachine) -> None:
    pretend(cuda=(7, 0))
    chosen = choose(config())
    assert "below 7.5" in chosen.augment.why
    assert chosen.loss.why == chosen.augment.why


@pytest.mark.parametrize(
    ("computer", "named", "reason"),
    [
        ({}, {"device": "cuda"}, "cpu"),
        ({"cuda": (9, 0)}, {"device": "mps"}, "cuda, cpu"),
        ({}, {"precision": "fp16"}, "fp32 or bf16"),
        ({"mps": True}, {"precision": "bf16"}, "fp32"),
        ({}, {"augment": "triton"}, "CUDA GPU"),
        ({}, {"loss": "triton"}, "CUDA GPU"),
        ({"cuda": (7, 0)}, {"loss": "triton"}, "7.0, below 7.5"),
        ({"compiler": False}, {"augment": "compile"}, "C compiler"),
        ({"mps": True}, {"augment": "compile"}, "MPS"),
        ({}, {"body": "graph"}, "CUDA GPU"),
        ({"cuda": (9, 0), "compiler": False}, {"body": "graph"}, "C compiler"),
        ({}, {"norm": "triton"}, "CUDA GPU"),
    ],
    ids=str,
)
def test_choose_refuses(computer: dict[str, Any], named: dict[str, str], reason: str, pretend: MakeMachine) -> None:
    pretend(**computer)
    ((field, value),) = named.items()
    with pytest.raises(UsageFault) as caught:
        choose(config(**named))
    assert all(word in str(caught.value) for word in (reason, value, f"--{field}"))


@pytest.mark.parametrize(
    ("computer", "run", "model", "norm"),
    [
        ({}, {"body": "compile"}, "galaxy-vgg", "layers"),
        ({}, {"device": "cpu"}, "vgg11", "layers"),
        ({"cuda": (9, 0)}, {"device": "cpu"}, "galaxy-vgg", "torch"),
    ],
    ids=str,
)
def test_choose_the_ends_of_blocks(
    computer: dict[str, Any], run: dict[str, Any], model: str, norm: str, pretend: MakeMachine
) -> None:
    """The closed form where it was measured to win: our own blocks, eager, on a CPU."""
    pretend(**computer)
    assert choose(replace(config(**run), network=Network(name=model))).norm.name == norm


def test_choose_refuses_ends_that_a_network_has_not(pretend: MakeMachine) -> None:
    pretend(cuda=(9, 0))
    with pytest.raises(UsageFault, match="--norm torch, got vgg11"):
        choose(replace(config(norm="torch"), network=Network(name="vgg11")))
    with pytest.raises(UsageFault, match="--sync-norm"):
        choose(config(norm="torch", sync_norm=True), 2)
    assert choose(config(sync_norm=True), 2).norm.name == "layers"


@pytest.mark.parametrize(
    ("model", "computer", "refused"),
    [
        ("vgg11", {"cuda": (9, 0)}, True),
        ("vgg11", {}, False),
        ("galaxy-vgg", {"cuda": (9, 0)}, False),
    ],
    ids=str,
)
def test_choose_promises_no_bits_it_cannot_keep(
    model: str, computer: dict[str, Any], refused: bool, pretend: MakeMachine
) -> None:
    """The pooling of torchvision's VGGs has no deterministic gradient on CUDA."""
    pretend(**computer)
    asked = replace(config(deterministic=True), network=Network(name=model))
    with pytest.raises(UsageFault, match=f"got {model}, whose pooling") if refused else nullcontext():
        choose(asked)


@pytest.mark.parametrize(
    ("computer", "asked"),
    [
        ({"cuda": (9, 0)}, ("cpu", "bf16", "torch", "torch", "eager", "layers")),
        ({"cuda": (9, 0)}, ("cuda", "fp32", "compile", "triton", "graph", "triton")),
        ({"cuda": (7, 5)}, ("cuda", "fp16", "torch", "compile", "eager", "torch")),
        ({}, ("cpu", "fp32", "compile", "compile", "compile", "compile")),
    ],
    ids=str,
)
def test_choose_takes_what_is_named(computer: dict[str, Any], asked: tuple[str, ...], pretend: MakeMachine) -> None:
    pretend(**computer)
    fields = dict(zip(KINDS, asked, strict=True))
    chosen = choose(config(**fields))
    assert names(chosen) == asked


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(precision: str, dtype: torch.dtype) -> None:
    backend = choose(config(device="cpu", precision=precision))
    assert backend.dtype == dtype
    with backend.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_compile_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options for torch.compile; they are tried where there is a GPU."""
    monkeypatch.setattr(torch, "compile", lambda module, **options: (module, options))
    network = torch.nn.Linear(2, 3)
    assert compile_body("eager", network) is network
    assert compile_body("compile", network) == (network, {"dynamic": False})
    assert compile_body("graph", network) == (network, {"mode": "reduce-overhead", "dynamic": False})


def test_memory() -> None:
    """Touching 64 MiB raises the peak, and /proc knows more free bytes than that."""
    before = peak_memory(torch.device("cpu"))
    block = torch.ones(before // 4 + 2**24)  # above the peak so far
    assert peak_memory(torch.device("cpu")) >= before + 2**25
    free = free_memory(torch.device("cpu"))
    assert free is None or 2**26 < free < 2**50
    del block


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_memory_is_kept() -> None:
    """The system does not clear large blocks again and again: there are few page faults."""

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            del_me = [torch.ones(2**21) for _ in range(4)]  # 8 MiB, 2048 pages each
            del del_me
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory(torch.device("cpu"))
    faults()
    assert faults() < 0.1 * 10 * 4 * 2048
