"""What is chosen on which machine, with its reason; what is named and cannot run is refused, never replaced."""

import ctypes
import resource
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config, Network
from galaxy_triton.kernels import availability
from galaxy_triton.model.backend import Backend, choose, compiled, head
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
        ({"cuda": (8, 0)}, "sigmoid", ("cuda", "bf16", "triton", "triton", "compile", "layers")),
        ({"cuda": (7, 5)}, "sigmoid", ("cuda", "fp16", "triton", "triton", "compile", "layers")),
        ({"cuda": (7, 0)}, "sigmoid", ("cuda", "fp16", "torch", "torch", "eager", "layers")),
        ({"cuda": (9, 0), "compiler": False}, "sigmoid", ("cuda", "bf16", "torch", "torch", "eager", "layers")),
        ({"cuda": (9, 0), "mps": True}, "sigmoid", ("cuda", "bf16", "triton", "triton", "compile", "layers")),
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
    for line, name in zip(chosen.lines(), want, strict=True):
        assert name in line
        assert len(line.split()) > 2  # a reason


def test_choose_for_a_loss_without_a_kernel(pretend: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's loss is chosen apart from the augmentation."""
    pretend(cuda=(9, 0))
    tree = head.HEADS["tree"]._replace(implementations=("torch", "compile"))
    monkeypatch.setitem(head.HEADS, "tree", tree)
    chosen = choose(config("tree"))
    assert names(chosen)[2:4] == ("triton", "torch")
    assert "no triton implementation" in chosen.loss.why


@pytest.mark.parametrize(
    ("computer", "reason"),
    [({"cuda": (7, 0)}, "below 7.5"), ({"cuda": (9, 0), "compiler": False}, "no C compiler"), ({}, "not on a CUDA")],
)
def test_choose_says_why_not(computer: dict[str, Any], reason: str, pretend: MakeMachine) -> None:
    pretend(**computer)
    chosen = choose(config())
    assert reason in chosen.augment.why
    assert reason in chosen.loss.why


@pytest.mark.parametrize(
    ("computer", "asked", "message"),
    [
        ({}, {"device": "cuda"}, r"Expected a machine with cuda, got one with cpu \(--device\)"),
        ({"cuda": (9, 0)}, {"device": "mps"}, r"Expected a machine with mps, got one with cuda, cpu"),
        ({}, {"precision": "fp16"}, r"Expected fp32 or bf16 on cpu, got fp16 \(--precision\)"),
        ({"mps": True}, {"precision": "bf16"}, "Expected fp32 on mps, got bf16"),
        ({}, {"augment": "triton"}, "Expected a machine for --augment triton, got Triton kernels need a CUDA GPU"),
        ({}, {"loss": "triton"}, "Expected a machine for --loss triton, got Triton kernels need a CUDA GPU"),
        ({"cuda": (7, 0)}, {"loss": "triton"}, "got the GPU has compute capability 7.0, below 7.5"),
        ({"compiler": False}, {"augment": "compile"}, "Expected a machine for --augment compile, got no C compiler"),
        ({"compiler": False}, {"body": "compile"}, "Expected a machine for --body compile, got no C compiler"),
        ({"mps": True}, {"augment": "compile"}, "Expected a machine for --augment compile, got torch.compile for MPS"),
        ({"mps": True}, {"body": "compile"}, "Expected a machine for --body compile, got torch.compile for MPS"),
        ({"cuda": (7, 0)}, {"body": "compile"}, "Expected a machine for --body compile, got the GPU has compute"),
        ({}, {"body": "graph"}, "Expected a machine for --body graph, got CUDA graphs need a CUDA GPU"),
        ({"cuda": (9, 0), "compiler": False}, {"body": "graph"}, "Expected a machine for --body graph, got no C"),
        ({}, {"norm": "triton"}, "Expected a run for --norm triton, got Triton kernels need a CUDA GPU"),
    ],
    ids=str,
)
def test_choose_refuses(computer: dict[str, Any], asked: dict[str, Any], message: str, pretend: MakeMachine) -> None:
    pretend(**computer)
    with pytest.raises(UsageFault, match=message):
        choose(config(**asked))


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
    with pytest.raises(UsageFault, match="Expected a run for --norm torch, got vgg11 has torch's own layers"):
        choose(replace(config(norm="torch"), network=Network(name="vgg11")))
    with pytest.raises(UsageFault, match="got --sync-norm needs torch's own"):
        choose(config(norm="torch", sync_norm=True), 2)
    assert choose(config(sync_norm=True), 2).norm.name == "layers"


@pytest.mark.parametrize(
    ("model", "computer", "refused"),
    [
        ("vgg11", {"cuda": (9, 0)}, True),
        ("vgg16", {"cuda": (9, 0)}, True),
        ("vgg11", {}, False),
        ("resnet50", {"cuda": (9, 0)}, False),
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
    assert all("asked for" in line for line in chosen.lines())


def test_kernels_named_without_a_gpu_are_refused(
    sky: Any, tmp_path: Path, tiny_options: Any, call: Any, pretend: MakeMachine
) -> None:
    """On the command line: exit code 2, no run folder, and nothing put in their place."""
    pretend()
    result = call("train", sky.store, *tiny_options(), "--augment", "triton", "--run", tmp_path / "run")
    assert result.exit_code == 2
    message = "Expected a machine for --augment triton, got Triton kernels need a CUDA GPU"
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(precision: str, dtype: torch.dtype) -> None:
    backend = choose(config(device="cpu", precision=precision))
    assert backend.dtype == dtype
    with backend.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch is asked for; whether it can is tried where there is a GPU."""
    monkeypatch.setattr(torch, "compile", lambda module, **options: (module, options))
    network = torch.nn.Linear(2, 3)
    assert compiled("eager", network) is network
    assert compiled("compile", network) == (network, {"dynamic": False})
    assert compiled("graph", network) == (network, {"mode": "reduce-overhead", "dynamic": False})


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
    """Large blocks that come and go are not cleared by the system again and again: few pages are faulted in."""

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            del_me = [torch.ones(2**21) for _ in range(4)]  # 8 MiB, 2048 pages each
            del del_me
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory(torch.device("cpu"))
    faults()
    assert faults() < 0.1 * 10 * 4 * 2048
