"""Where the time of training steps goes: from what a profiler saw, as plain data, to a table.

A step is in one thread and says what it does by labels. On a GPU what counts are the kernels: each belongs to the
label in which it was launched, whichever thread launched it. On a CPU it is the time that an operation spends in itself
and not in others.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from galaxy_triton.train.learner import AUGMENT, BACKWARD, LOSS, UPDATE

BATCH_NORM, RELU, POOLING, OPTIMISER = "batch norm", "ReLU", "pooling", "optimiser"
PRODUCT, COPIES, OTHER, IDLE = "convolution, matrix product", "copies, fills", "other", "idle"
COMPILED = "compiled, not told apart"  # C++ that Inductor made says nothing of its parts
# All that is done under these labels is of one kind; body and backward are told apart by names.
KIND_OF_LABEL = {AUGMENT: "augmentation", LOSS: "loss", UPDATE: OPTIMISER}

FUSED_KINDS = "fused: "

# A kind by the words in the name of an operation or kernel, from the first that fits. `nvjet`, `xmma` and `cutlass` are
# products; `convertTensor` is a copy.
WORDS: dict[str, re.Pattern[str]] = {
    BATCH_NORM: re.compile(r"batch_?norm|\bbn_[fb]w"),
    RELU: re.compile(r"relu|threshold|clamp"),
    POOLING: re.compile(r"pool|mean"),
    PRODUCT: re.compile(
        r"conv(?!ert)|gemm|gemv|addmm|::b?mm\b|\bb?mmbackward|nvjet|xmma|cutlass|wgrad|dgrad|splitk|(?<!bi)linear"
    ),
    "loss": re.compile(r"loss|sigmoid|softmax|gradientfromforward"),
    OPTIMISER: re.compile(r"adam|multi_tensor|_foreach_"),
    COPIES: re.compile(r"copy|memcpy|memset|fill|zero_|clone|nhwctonchw|nchwtonhwc|convert"),
    COMPILED: re.compile(r"compiledfxgraph"),
}
# Inductor names a kernel by what it fused: poi(ntwise), red(uction), per(sistent reduction); a tem(plate) is a product.
FUSED = re.compile(r"triton_(?:poi|red|per)_fused_(.*)")
TEMPLATE = re.compile(r"triton_(?:tem|mm|bmm|convolution)")


class Op(NamedTuple):
    """An operation on the host. Times in microseconds.

    sequence: of the operation's autograd node, which the node's backward has too; -1 without one.
    identity: what kernels name it by; 0 for none.
    """

    name: str
    start: float
    end: float
    thread: int = 1
    sequence: int = -1
    identity: int = 0


class Kernel(NamedTuple):
    """What a GPU was given to do: a kernel, a copy, a fill. Times in microseconds. op: the identity of its launcher."""

    name: str
    start: float
    end: float
    op: int = 0


class Seen(NamedTuple):
    """What a profiler saw: the labels, the operations and, on a GPU, the kernels; each in any order."""

    labels: Sequence[Op]
    ops: Sequence[Op]
    kernels: Sequence[Kernel] = ()


@dataclass(frozen=True)
class Part:
    """The work of one kind in a step. calls: kernels on a GPU; on a CPU operations that call no other."""

    kind: str
    ms: float
    calls: float


@dataclass(frozen=True)
class Breakdown:
    """Where the time of a step goes.

    device: its type. first, steps: which were recorded, counted from 1. step_ms: wall time, with what recording costs.
    parts: the longest first; "idle" is the wall time in which the GPU ran nothing, or the CPU no operation but Python.
    On a GPU kernels that run side by side count in full, so the parts can add up to more than a step. Empty when the
    profiler saw nothing of the device.
    """

    device: str
    first: int
    steps: int
    step_ms: float
    parts: tuple[Part, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts]}


def break_down(seen: Seen, device: str, first: int, steps: int, wall_us: float) -> Breakdown:
    """Share the wall time of the recorded steps out among the kinds of work.

    Args:
        device: "cuda", of which the kernels count, or "cpu".
        first, steps: as in Breakdown.
        wall_us: of all recorded steps.
    """
    work = _kernel_work(seen) if device == "cuda" else _op_work(seen)
    times, calls = defaultdict[str, float](float), Counter[str]()
    for kind, microseconds, count in work:
        times[kind] += microseconds
        calls[kind] += count
    if times:
        spans: Sequence[Kernel | Op] = seen.kernels if device == "cuda" else seen.ops
        times[IDLE] = max(0.0, wall_us - covered([(span.start, span.end) for span in spans]))
    parts = [Part(kind, us / steps / 1e3, calls[kind] / steps) for kind, us in times.items()]
    longest_first = tuple(sorted(parts, key=lambda part: -part.ms))
    return Breakdown(device, first, steps, wall_us / steps / 1e3, longest_first)


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def kind_of(names: Sequence[str], label: str | None, of_loss: bool = False) -> str:
    """The kind of a piece of work.

    Args:
        names: of itself and of what called it, innermost first; the first that says something decides.
        label: one of LABELS, or None outside all.
        of_loss: whether it is the backward pass of what was done under the loss's label.
    """
    if whole := KIND_OF_LABEL.get(label or ""):
        return whole
    if of_loss:
        return "loss"
    kinds = (_kind_of_name(name) for name in names)
    return next((kind for kind in kinds if kind is not None), OTHER)


def _kind_of_name(name: str) -> str | None:
    if fused := FUSED.match(name):
        return _kind_of_fused(fused[1].lower())
    if TEMPLATE.match(name):
        return PRODUCT
    return next((kind for kind, words in WORDS.items() if words.search(name.lower())), None)


def _kind_of_fused(words: str) -> str:
    """Several kinds at once, but for copies, which cost nothing then; a product is only laid out or has its bias added
    in such a kernel."""
    kinds = [kind for kind, pattern in WORDS.items() if kind != PRODUCT and pattern.search(words)]
    telling = [kind for kind in kinds if kind != COPIES]
    if len(telling) > 1:
        return FUSED_KINDS + ", ".join(telling)
    if telling:
        return telling[0]
    return COPIES if kinds or WORDS[PRODUCT].search(words) else OTHER


def _kernel_work(seen: Seen) -> Iterator[tuple[str, float, int]]:
    """(kind, microseconds, 1) of every kernel."""
    tree = _Tree(seen)
    launchers = {op.identity: number for number, op in enumerate(tree.ops) if op.identity}
    for kernel in seen.kernels:
        launcher = launchers.get(kernel.op)
        if launcher is None:
            kind = kind_of((kernel.name,), None)
        else:
            kind = kind_of((kernel.name, *tree.names(launcher)), tree.label(launcher), tree.of_loss(launcher))
        yield kind, kernel.end - kernel.start, 1


def _op_work(seen: Seen) -> Iterator[tuple[str, float, int]]:
    """(kind, microseconds in itself, whether it calls no other) of every operation."""
    tree = _Tree(seen)
    inside = defaultdict[int, float](float)
    for op, parent in zip(tree.ops, tree.parents, strict=True):
        if parent is not None:
            inside[parent] += op.end - op.start
    for number, op in enumerate(tree.ops):
        kind = kind_of(tree.names(number), tree.label(number), tree.of_loss(number))
        yield kind, op.end - op.start - inside.get(number, 0.0), int(number not in inside)


class _Tree:
    """Which operation called which, under which label, and whose backward it is."""

    def __init__(self, seen: Seen) -> None:
        self.labels = sorted(seen.labels, key=lambda label: label.start)
        self.begins = [label.start for label in self.labels]
        self.ops = sorted(seen.ops, key=lambda op: (op.thread, op.start, -op.end))
        self.parents = _parents(self.ops)
        self.forward = self._labels_of_nodes()

    def names(self, number: int) -> list[str]:
        """Of the operation and of what called it, innermost first."""
        return [self.ops[place].name for place in self._line(number)]

    def label(self, number: int) -> str | None:
        """In which the operation began: autograd may run it in another thread, but meanwhile the first one waits."""
        start = self.ops[number].start
        place = bisect_right(self.begins, start) - 1
        return self.labels[place].name if place >= 0 and start < self.labels[place].end else None

    def of_loss(self, number: int) -> bool:
        """Whether it is the backward of something under the loss's label."""
        if self.label(number) != BACKWARD:
            return False
        return any(self.forward.get(self.ops[place].sequence) == LOSS for place in self._line(number))

    def _line(self, number: int) -> Iterator[int]:
        place: int | None = number
        while place is not None:
            yield place
            place = self.parents[place]

    def _labels_of_nodes(self) -> dict[int, str | None]:
        """The label under which each autograd node was made: the last operation with its number made it, those before
        only stood next to it."""
        forward: dict[int, str | None] = {}
        for number in sorted(range(len(self.ops)), key=lambda number: self.ops[number].start):
            label, sequence = self.label(number), self.ops[number].sequence
            if sequence >= 0 and label != BACKWARD:
                forward[sequence] = label
        return forward


def _parents(ops: Sequence[Op]) -> list[int | None]:
    """For each operation the place of the one around it; sorted by thread, start, and the longer first."""
    parents: list[int | None] = []
    around: list[int] = []
    for number, op in enumerate(ops):
        while around and not (ops[around[-1]].thread == op.thread and op.start < ops[around[-1]].end):
            around.pop()
        parents.append(around[-1] if around else None)
        around.append(number)
    return parents
