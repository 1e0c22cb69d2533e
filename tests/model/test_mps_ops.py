"""What an Apple GPU would be asked for: every aten op of the torch path and its types, recorded on the CPU.

No MPS machine runs these tests: for each op, torch's own table of kernels, native_functions.yaml, must name one for
MPS. Draws, the order of an epoch, fixed views and the check of an index are computed on the CPU whatever the device;
they are left out here, and the draws and the order have a test of their own.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from galaxy_triton.data import order
from galaxy_triton.data.order import epoch_batches
from galaxy_triton.kernels import AugmentDraw, Ranges, augmentation, sample
from galaxy_triton.kernels.augmentation import parameters, reference
from galaxy_triton.predict import predictor as answer
from galaxy_triton.system.console import Display
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.optimiser import make_optimiser
from galaxy_triton.train.session import Session
from tests.support.sessions import trainer_of

TABLE = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
ON_CPU = (
    (reference, "draw_params"), (augmentation, "require_within"), (parameters, "require_within"),
    (order, "philox_order"), (answer, "fixed_affines"),
)  # fmt: skip
# On MPS the colour jitter needs a torch later than the oldest that is supported elsewhere.
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11)
MISSING = {"aten.index_copy.default"} if OLD else set()
# Lively enough for every branch: each jitter, both borders, both heads, averages, a clip.
JITTER = {f"augmentation.{name}": 0.1 for name in ("brightness", "contrast", "saturation", "hue", "shift")}
RUNS: dict[str, dict[str, Any]] = {
    "sigmoid": {**JITTER, "optimiser.average": 0.9, "optimiser.clip": 1.0, "run.views": 2},
    "tree": {"network.head": "tree", "augmentation.border": "reflect", "network.hidden": 0},
}

Seen = set[tuple[str, str]]  # (op, device and type of a tensor it takes or gives)


class Recorder(TorchDispatchMode):
    """Notes the ops that run while it is on and not paused."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen = set()
        self.paused = False

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        if not self.paused:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.seen |= {(str(op), f"{tensor.device.type} {tensor.dtype}") for tensor in tensors}
        return result

    def pausing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before, self.paused = self.paused, True
            try:
                return function(*args, **kwargs)
            finally:
                self.paused = before

        return call


def record(session: Session, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The ops of an epoch of training, its validation and its checkpoint."""
    trainer, recorder = trainer_of(session), Recorder()
    trainer.learner.optimiser = make_optimiser(trainer.learner.network, session.config.optimiser, torch.device("mps"))
    for module, name in ON_CPU:
        monkeypatch.setattr(module, name, recorder.pausing(getattr(module, name)))
    with recorder:
        trainer.fit(Display(), Stop())
    return recorder.seen


@cache
def table() -> dict[str, str]:
    """The entry of each op in native_functions.yaml, as text."""
    entries = re.split(r"^- func: ", TABLE.read_text(), flags=re.MULTILINE)[1:]
    return {entry.split("(")[0]: re.sub(r"#.*", "", entry) for entry in entries}


def has_mps_kernel(op: str) -> bool:
    """Whether torch's table names a kernel for MPS: its own, one composed of other ops, or its structured twin's."""
    entry = table()[op.removeprefix("aten.").removesuffix(".default")]
    twin = re.search(r"structured_delegate: (\S+)", entry)
    if twin:
        return has_mps_kernel(f"aten.{twin[1]}")
    return "dispatch:" not in entry or bool(re.search(r"^ +[\w, ]*\b(MPS|Composite\w+)\b[\w, ]*:", entry, re.MULTILINE))


@pytest.mark.parametrize("name", RUNS)
def test_ops_of_the_torch_path(
    name: str, make_session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**RUNS[name], "run.epochs": 1, "run.norm": "layers", "run.batch_size": 33}
    seen = record(make_session(tmp_path, **settings), monkeypatch)
    ops = {op for op, _ in seen}
    assert {"aten.convolution.default", "aten.grid_sampler_2d.default"} <= ops
    assert not sorted(op for op, kind in seen if "float64" in kind)
    assert {op for op in ops if not has_mps_kernel(op)} <= MISSING


def test_table_tells_ops_apart() -> None:
    """The reader of torch's table is code too: ops of CUDA alone, of a kernel of their own, composite ones."""
    assert not has_mps_kernel("aten._cudnn_rnn.default")
    assert not has_mps_kernel("aten.miopen_convolution.default")
    assert has_mps_kernel("aten.add.Tensor")
    assert has_mps_kernel("aten.convolution.default")
    assert has_mps_kernel("aten.grid_sampler_2d.default")


def draw(ids: torch.Tensor, number: torch.Tensor) -> object:
    return sample(AugmentDraw(number, number, ids, Ranges(rotation=180, hue=0.1)), side=24, size=16)


def order(ids: torch.Tensor, number: torch.Tensor) -> object:
    return epoch_batches(ids, ids, 1, 0, 2)


@pytest.mark.parametrize("compute", [draw, order])
def test_draws_are_made_on_the_cpu(compute: Callable[[torch.Tensor, torch.Tensor], object]) -> None:
    """Philox needs 64-bit products: of tensors that pretend to lie on an Apple GPU only copies are made there."""
    with FakeTensorMode(), Recorder() as recorder:
        ids, number = (torch.empty(shape, dtype=torch.int64, device="mps") for shape in ((5,), ()))
        # A build without MPS refuses to take the result back there: the draws are made by then.
        with suppress(RuntimeError):
            compute(ids, number)
    there = {op for op, kind in recorder.seen if kind.startswith("mps")}
    here = {op for op, kind in recorder.seen if kind.startswith("cpu")}
    assert "aten.mul.Tensor" in here
    assert there <= {"aten.empty.memory_format", "prim.device.default", "aten._to_copy.default", "aten.index.Tensor"}
