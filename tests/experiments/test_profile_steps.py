"""Steps recorded by torch's profiler: a trace that is whole or absent, and a table that adds up."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from galaxy_triton.config.schema import Augmentation, Network, Optimiser
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.experiments import profile_steps as profiling
from galaxy_triton.experiments.profile_breakdown import Breakdown, Kernel, Op, Part, Seen
from galaxy_triton.experiments.profile_ceilings import Ceilings
from galaxy_triton.experiments.profile_steps import Profiler, Window, check_trace, label, seen_by, table
from galaxy_triton.model.head import HEADS, make_network
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train.learner import AUGMENT, BACKWARD, BODY, LABELS, LOSS, UPDATE
from galaxy_triton.train.optimiser import make_optimiser

CPU = torch.device("cpu")
GPU = Ceilings("bf16", matmul_tflops=700, copy_gb_s=3000, sheet_tflops=989, sheet_name="H100 80GB HBM3")


@pytest.fixture(scope="session")
def step() -> Callable[[], None]:
    """A step of training as the labels divide it, of a network that holds every kind of layer."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (4, 24, 24, 4), dtype=torch.uint8, generator=generator)
    galaxies = Galaxies(pixels, torch.arange(4) + 100_000, torch.rand(4, 37, generator=generator))
    network = make_network(Network(widths=(8, 16), convs=1, hidden=16))
    optimiser = make_optimiser(network, Optimiser(), CPU)
    maker, rows, zero = ViewMaker(Augmentation(size=16, brightness=0.1)), torch.arange(4), torch.tensor(0)
    buffer = maker.empty(4, CPU)

    def make() -> None:
        with label(AUGMENT):
            views = maker.random(batch_of(galaxies, rows), zero, zero, buffer)
        with label(BODY):
            logits = network(views)
        with label(LOSS):
            loss = HEADS["sigmoid"].loss(logits, galaxies.answers[rows], "torch")
        with label(BACKWARD):
            loss.backward()  # type: ignore[no-untyped-call]
        with label(UPDATE):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return make


def record(step: Callable[[], None], trace: Path, made: int, **window: int) -> Breakdown | None:
    with Profiler(trace, CPU, **window) as profiler:
        for _ in range(made):
            step()
            profiler.step()
    return profiler.breakdown


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_steps_of_a_network(step: Callable[[], None], tmp_path: Path, name: str) -> None:
    found = record(step, tmp_path / name, made=6, skip=1, steps=3)
    assert found is not None
    assert (found.device, found.first, found.steps) == ("cpu", 2, 3)
    parts = {part.kind: part for part in found.parts}
    kinds = {"augmentation", "convolution, matrix product", "batch norm", "ReLU", "pooling", "loss", "optimiser"}
    assert {kind for kind in kinds if parts[kind].ms > 0} == kinds
    # On one thread nothing runs side by side: every microsecond has one place.
    assert sum(part.ms for part in found.parts) == pytest.approx(found.step_ms)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    content = (tmp_path / name).read_bytes()
    events = json.loads(gzip.decompress(content) if name.endswith(".gz") else content)["traceEvents"]
    for known in LABELS:
        assert sum(event["name"] == known for event in events) == 3


def test_work_is_counted_where_it_was_done(step: Callable[[], None], tmp_path: Path) -> None:
    """Two blocks have two batch norms, forward and backward; the calls of a step are the same in each."""
    with Profiler(tmp_path / "trace.json", CPU, skip=2, steps=2) as profiler:
        for _ in range(4):
            step()
            profiler.step()
    assert profiler.breakdown is not None
    for part in profiler.breakdown.parts:
        assert part.calls == int(part.calls), part
    seen = {part.kind: part.calls for part in profiler.breakdown.parts}
    assert seen["ReLU"] == 6  # clamp_min_ and threshold_backward, after two convolutions and one linear layer
    assert seen["idle"] == 0


def test_nothing_is_left_out_of_a_first_step(step: Callable[[], None], tmp_path: Path) -> None:
    found = record(step, tmp_path / "trace.json", made=1, skip=0, steps=1)
    assert found is not None
    assert found.first == 1


@pytest.mark.parametrize("made", [0, 1, 2, 3])
def test_a_run_that_ends_early_leaves_nothing(step: Callable[[], None], tmp_path: Path, made: int) -> None:
    assert record(step, tmp_path / "trace.json", made, skip=2, steps=2) is None
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Profiler(tmp_path / "trace.json", CPU, skip=0):
        raise ZeroDivisionError
    assert not torch.autograd._profiler_enabled()
    assert not list(tmp_path.iterdir())


def test_a_trace_cut_short_is_no_trace(
    step: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profiler itself says nothing of a disk that is full."""

    def cut(recorded: object, path: str) -> None:
        Path(path).write_text('{"traceEvents": [')

    monkeypatch.setattr(torch.profiler.profile, "export_chrome_trace", cut)
    with pytest.raises(DataFault, match="Expected a whole trace from torch's profiler, got 17 bytes"):
        record(step, tmp_path / "trace.json", made=1, skip=0, steps=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("trace.txt", "a file named .json or .json.gz"),
        ("trace.gz", "a file named .json or .json.gz"),
        ("folder.json", "a file to write, got a folder"),
        ("missing/trace.json", "a folder to write in"),
        ("file.json/trace.json", "a folder to write in"),
    ],
)
def test_a_trace_that_cannot_be(tmp_path: Path, name: str, want: str) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file.json").touch()
    with pytest.raises(UsageFault, match=f"^Expected {want}"):
        Profiler(tmp_path / name, CPU)


def test_a_device_that_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageFault, match="Expected a profiler for mps"):
        check_trace(tmp_path / "trace.json", torch.device("mps"))
    monkeypatch.setattr(profiling, "kineto_available", lambda: False)
    with pytest.raises(UsageFault, match="built without"):
        check_trace(tmp_path / "trace.json", CPU)


@pytest.mark.parametrize(("steps", "want"), [(100, (3, 5)), (8, (3, 5)), (7, (2, 5)), (5, (1, 4)), (2, (1, 1))])
def test_the_window_stays_inside_an_epoch(steps: int, want: tuple[int, int]) -> None:
    assert Window().within(steps) == want


def test_an_epoch_too_short_to_record() -> None:
    with pytest.raises(UsageFault, match="at least 2 steps"):
        Window().within(1)


NOW = 1_800_000_000_000_000_001


def event(name: str, kind: str, times: tuple[int, int], **fields: int) -> SimpleNamespace:
    """As Kineto gives it; times in nanoseconds, since 1970."""
    values = {"scope": 0, "start_thread_id": 1, "sequence_nr": -1, "correlation_id": 0, "linked_correlation_id": 0}
    methods: dict[str, Any] = {key: lambda value=value: value for key, value in {**values, **fields}.items()}
    methods |= {"name": lambda: name, "device_type": lambda: SimpleNamespace(name=kind)}
    return SimpleNamespace(**methods, start_ns=lambda: NOW + times[0], end_ns=lambda: NOW + times[1])


def test_what_a_gpu_did_is_told_from_what_was_said_about_it() -> None:
    """A label's twin among the kernels, waits, and calls of the driver are no work."""
    events = [
        event(BODY, "CPU", (0, 9000), scope=7, correlation_id=1),
        event("Optimizer.step#AdamW.step", "CPU", (0, 9000), scope=7, correlation_id=2),
        event("aten::mm", "CPU", (1000, 5000), correlation_id=3, sequence_nr=4),
        event("cudaLaunchKernel", "CPU", (2000, 3000), correlation_id=5, linked_correlation_id=3),
        event("hipLaunchKernel", "CPU", (3000, 4000), correlation_id=6, linked_correlation_id=3),
        event("cudaDeviceSynchronize", "CPU", (6000, 7000), correlation_id=3),  # by chance the operation's number
        event("[memory]", "CPU", (1500, 1500)),
        event("profiler::_record_function_enter_new", "CPU", (1500, 1500)),
        event("gemm", "CUDA", (7000, 8000), correlation_id=5, linked_correlation_id=3),
        event(BODY, "CUDA", (7000, 8000), correlation_id=1),
        event("Optimizer.step#AdamW.step", "CUDA", (7000, 8000), correlation_id=2),
        event("Stream Sync", "CUDA", (8000, 9000)),
    ]
    recorded = SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events)))
    assert seen_by(recorded) == Seen(  # type: ignore[arg-type]
        labels=[Op(BODY, 0, 9, 1, -1, 1)],
        ops=[Op("aten::mm", 1, 5, 1, 4, 3)],
        kernels=[Kernel("gemm", 7, 8, 3)],
    )


BREAKDOWN = Breakdown(
    "cuda",
    first=4,
    steps=5,
    step_ms=10.0,
    parts=(Part("convolution, matrix product", 5.0, 33), Part("batch norm", 3.0, 20), Part("idle", 2.0, 0)),
)


def test_table() -> None:
    lines = table(BREAKDOWN, GPU, flops=2_800_000_000_000, least_bytes={"batch norm": 4_500_000_000, "ReLU": 1})
    assert [" ".join(line.split()) for line in lines] == [
        "profile steps 4 to 8 on cuda, 10.00 ms each",
        "ms a step share kernels",
        "convolution, matrix product 5.000 50.0% 33",
        "batch norm 3.000 30.0% 20",
        "idle: no kernel ran 2.000 20.0%",
        "products 280 TFLOP/s over a whole step: 40.0% of the 700 of a large product here, "
        "28.3% of the data sheet's 989 (H100 80GB HBM3 bf16)",
        "560 TFLOP/s while convolutions and products ran: 80.0% of the large product",
        "memory 3,000 GB/s read and written by a large copy here",
        "batch norm: at least 1,500 GB/s, 50% of the copy",
    ]


def test_table_of_compiled_layers_says_less_of_memory() -> None:
    """A layer that shares its kernel need not write what the next one reads."""
    parts = (*BREAKDOWN.parts, Part("fused: batch norm, ReLU", 1.0, 3), Part("optimiser", 1.0, 3))
    least = {"batch norm": 4_500_000_000, "optimiser": 600_000_000}
    lines = table(replace(BREAKDOWN, parts=parts), GPU, flops=1, least_bytes=least)
    assert [line.strip() for line in lines if "at least" in line] == ["optimiser: at least 600 GB/s, 20% of the copy"]


def test_table_without_a_data_sheet() -> None:
    lines = table(BREAKDOWN, Ceilings("fp32", 0.1, 5.25, None, "cpu"), flops=2_800_000_000_000)
    assert "memory     5.2 GB/s read and written by a large copy here" in lines
    assert any("no data sheet is known (cpu fp32)" in line for line in lines)
    assert not any("at least" in line for line in lines)


def test_table_of_nothing() -> None:
    lines = table(Breakdown("cuda", 4, 5, 10.0, ()), GPU, flops=1)
    assert len(lines) == 2
    assert "saw nothing of the GPU" in lines[1]
