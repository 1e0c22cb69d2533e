"""The share of a training step's time by kind of work, read from the trace that torch's profiler exports.

On a GPU the kernels count: a kernel belongs to the operation that launched it, and to the label around that operation.
On a CPU the time counts that an operation spends in itself, outside the operations that it calls.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from galaxy_triton.train.learner import AUGMENT, LABELS, LOSS, UPDATE

NORM, PRODUCT, OPTIMISER = "batch norm, ReLU, pooling", "convolution, matrix product", "optimiser"
COPIES, OTHER, IDLE = "copies, fills", "other", "idle"
COMPILED = "compiled, not told apart"  # C++ of torch.compile does not show its parts
# All work under these labels is of one kind; in the body and the backward pass names decide.
KIND_OF_LABEL = {AUGMENT: "augmentation", LOSS: "loss", UPDATE: OPTIMISER}

# A kind by words in the name of an operation or kernel; the first that fits. `nvjet`, `xmma` and `cutlass` are matrix
# products; `convertTensor` is a copy.
WORDS: dict[str, re.Pattern[str]] = {
    PRODUCT: re.compile(
        r"conv(?!ert)|gemm|gemv|addmm|::b?mm\b|\bb?mmbackward|nvjet|xmma|cutlass|wgrad|dgrad|splitk|(?<!bi)linear"
        r"|triton_(?:tem|mm|bmm)"
    ),
    NORM: re.compile(r"batch_?norm|\bbn_[fb]w|relu|threshold|clamp|pool|mean"),
    "loss": re.compile(r"loss|sigmoid|softmax|gradientfromforward"),
    OPTIMISER: re.compile(r"adam|multi_tensor|_foreach_"),
    COPIES: re.compile(r"copy|memcpy|memset|fill|zero_|clone|nhwctonchw|nchwtonhwc|convert"),
    COMPILED: re.compile(r"compiledfxgraph"),
}
# An element-wise kernel or reduction of torch.compile is named after all that it fuses. A product in that name is only
# copied into another layout, or gets its bias.
FUSED = re.compile(r"triton_(?:poi|red|per)_fused_")

# Categories of events in a trace.
KERNELS, OPERATION, ANNOTATION = {"kernel", "gpu_memcpy", "gpu_memset"}, "cpu_op", "user_annotation"
STEP = "ProfilerStep#"  # the name of torch's annotation around each step begins so

Event = dict[str, Any]


def read_shares(events: Iterable[Event], device: str) -> dict[str, float]:
    """Kind of work -> its share of the wall time of the steps in a trace, the largest first.

    "idle" is the share in which the GPU ran no kernel, or the CPU no operation. Kernels that run side by side count in
    full, so the shares may add up to more than 1. Empty: the profiler could not see the GPU's work.

    Args:
        events: the trace's "traceEvents".
        device: "cuda" or "cpu".
    """
    spans = [event for event in events if event.get("ph") == "X"]
    steps = [event for event in spans if event["name"].startswith(STEP) and event["cat"] == ANNOTATION]
    wall = max(map(_end, steps)) - min(event["ts"] for event in steps)
    host = _Host([event for event in spans if event["cat"] in (OPERATION, ANNOTATION)])
    kernels = [event for event in spans if event["cat"] in KERNELS]
    times: dict[str, float] = defaultdict(float)
    for kind, microseconds in host.of_kernels(kernels) if device == "cuda" else host.of_operations():
        times[kind] += microseconds
    if times:
        busy = [(event["ts"], _end(event)) for event in kernels]
        times[IDLE] = max(0.0, wall - (_union_length(busy) if device == "cuda" else sum(times.values())))
    largest_first = sorted(times.items(), key=lambda item: -item[1])
    return {kind: time / wall for kind, time in largest_first}


def kind_of(names: Iterable[str]) -> str:
    """The kind of a piece of work.

    Args:
        names: its own name, then those of the operations and labels around it, from the innermost.
    """
    names = list(names)
    whole = (KIND_OF_LABEL[name] for name in names if name in KIND_OF_LABEL)
    by_name = (kind for name in names if (kind := _kind_of_name(name)) is not None)
    return next(whole, None) or next(by_name, OTHER)


def _union_length(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class _Host:
    """The operations and annotations on the host, each with the one around it in its thread."""

    def __init__(self, events: list[Event]) -> None:
        self.events = sorted(events, key=lambda event: (event["tid"], event["ts"], -event["dur"]))
        self.parents = _parents(self.events)

    def of_kernels(self, kernels: list[Event]) -> Iterator[tuple[str, float]]:
        """(kind, microseconds) of every kernel."""
        places = {_external_id(event): place for place, event in enumerate(self.events)}
        for kernel in kernels:
            number = _external_id(kernel)
            launcher = places.get(number) if number else None
            yield kind_of([kernel["name"], *self._names(launcher)]), kernel["dur"]

    def of_operations(self) -> Iterator[tuple[str, float]]:
        """(kind, microseconds in itself) of every operation."""
        own = [event["dur"] for event in self.events]
        for event, parent in zip(self.events, self.parents, strict=True):
            if parent is not None:
                own[parent] -= event["dur"]
        for place, event in enumerate(self.events):
            if event["cat"] == OPERATION:
                yield kind_of(self._names(place)), own[place]

    def _names(self, place: int | None) -> Iterator[str]:
        """Of the event at a place and of those around it, from the innermost."""
        while place is not None:
            yield self.events[place]["name"]
            place = self.parents[place]


def _parents(events: list[Event]) -> list[int | None]:
    """For each event the place of the one around it; sorted by thread, start, and the longer first."""
    parents: list[int | None] = []
    around: list[int] = []
    for place, event in enumerate(events):
        while around and not (events[around[-1]]["tid"] == event["tid"] and event["ts"] < _end(events[around[-1]])):
            around.pop()
        parents.append(around[-1] if around else None)
        around.append(place)
    return parents


def _kind_of_name(name: str) -> str | None:
    name = name.lower()
    if name.startswith(STEP.lower()) or name in LABELS:
        return None
    kinds = [kind for kind, words in WORDS.items() if words.search(name)]
    if FUSED.match(name):
        kinds = [kind for kind in kinds if kind != PRODUCT] or [COPIES] * bool(kinds)
    return next(iter(kinds), None)


def _external_id(event: Event) -> int:
    """The number of an operation, which kernels that it launched have too; 0 for none."""
    return int(event.get("args", {}).get("External id", 0))


def _end(event: Event) -> float:
    return float(event["ts"] + event["dur"])
