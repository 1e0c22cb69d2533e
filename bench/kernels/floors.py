"""The least time that the fused augmentation can take on a GPU, and a prediction from it.

    python -m bench.kernels.floors --out bench/results/predicted.json

Four floors, each the time that one part of the GPU needs by itself:

    memory       read each touched 32-byte sector of the source once, write the view: at a large copy's bandwidth
    gather       cache lines of 128 bytes that the loads of each warp touch: one per clock
    instructions 128 threads per clock
    conversions  the instructions of the unit for conversions and reciprocals: 16 threads per clock

The last three are per multiprocessor. Traffic is counted on views that `sample` draws; instructions come from the
machine code (results/instructions.csv, made by tests.kernels.instructions). The rates per clock are assumed, from
descriptions of sm_90; if the hardware does better, that floor is wrong. A prediction takes a clock of 1.755 GHz, the
share of a measured time takes the GPU's highest clock.
"""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.scripts import option_parser, write_result

RESULTS = Path(__file__).resolve().parents[1] / "results"
COUNTED, PREDICTED = RESULTS / "instructions.csv", RESULTS / "predicted.json"
SIDE, SIZE, BYTES_A_VALUE = 160, 128, 2
VIEW = f"{SIDE} -> {SIZE} px, bf16, any rotation, flips, random crop, four jitters; the kernel draws"
VIEWS = 128

LINE, SECTOR, WARP = 128, 32, 32
THREADS_A_CLOCK = {"instructions": 128, "conversions": 16}

# Of the tightest floor: loads wait for one another, and the first and last tiles run alone.
EXPECTED_SHARE = (0.5, 0.7)


@dataclass(frozen=True)
class Rates:
    """Of a GPU: clock_ghz of its multiprocessors, copy_gb_s bytes read and written by a large copy, / 1e9."""

    multiprocessors: int
    clock_ghz: float
    copy_gb_s: float


# By data sheet; a copy is taken to reach 0.9 of the memory's bandwidth.
GPUS = {"H100 SXM": Rates(132, 1.755, 0.9 * 3350), "H200": Rates(132, 1.755, 0.9 * 4800)}


@dataclass(frozen=True)
class Work:
    """What one view asks of the GPU: bytes of memory, cache lines of gathers, instructions of threads."""

    memory: float
    gather: float
    instructions: float
    conversions: float


def floors_ns(work: Work, rates: Rates) -> dict[str, float]:
    """Nanoseconds a view, by each part of the GPU alone."""
    clocks = {"gather": work.gather}
    clocks |= {name: getattr(work, name) / threads for name, threads in THREADS_A_CLOCK.items()}
    by_clock = {name: clock / rates.multiprocessors / rates.clock_ghz for name, clock in clocks.items()}
    return {"memory": work.memory / rates.copy_gb_s, **by_clock}


def share(device_us: float, views: int, rates: Rates) -> tuple[float, str]:
    """What part of a measured time the tightest floor of the committed work explains, and which floor that is."""
    found = floors_ns(Work(**json.loads(PREDICTED.read_text())["work"]), rates)
    tightest = max(found, key=found.__getitem__)
    return found[tightest] * views / (device_us * 1e3), tightest


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    work = counted()
    write_result(out, {"view": VIEW, "work": asdict(work), "gpus": _predictions(work)})


def counted() -> Work:
    """Of the view that the benchmarks take."""
    sectors, lines = traffic()
    with COUNTED.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["view"] == "full jitter"]
    pixels = SIZE * SIZE
    return Work(
        memory=sectors * SECTOR + pixels * 3 * BYTES_A_VALUE,
        gather=lines * len(rows),  # each loop gathers
        instructions=sum(float(row["all"]) for row in rows) * pixels,
        conversions=sum(float(row["xu"]) for row in rows) * pixels,
    )


def traffic() -> tuple[float, float]:
    """Means over views: distinct sectors of the source, and the distinct lines of each warp's load, summed."""
    import torch

    from bench.kernels.scene import USUAL
    from galaxy_triton.kernels import AugmentDraw, sample
    from galaxy_triton.kernels.augmentation.fused_warp import PATCH

    draw = AugmentDraw(torch.tensor(0), torch.tensor(0), torch.arange(VIEWS), USUAL)
    affine = sample(draw, side=SIDE, size=SIZE).affine
    across, down = PATCH
    number = torch.arange(SIZE * SIZE)
    patch, inside = number // WARP, number % WARP
    x = patch % (SIZE // across) * across + inside % across
    y = patch // (SIZE // across) * down + inside // across
    ix, iy = (affine @ torch.stack((x, y, torch.ones_like(x))).float()).floor().long().unbind(1)  # [VIEWS, pixels]
    sectors, lines = [], 0
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        places = addresses(ix + right, iy + below)
        sectors.append(places // SECTOR)
        lines += distinct((places // LINE).view(VIEWS, -1, WARP)).sum().item()
    return distinct(torch.cat(sectors, dim=1)).float().mean().item(), lines / VIEWS


def addresses(x, y):
    """Bytes from the source's first, negative for what is not loaded."""
    outside = (x < 0) | (x >= SIDE) | (y < 0) | (y >= SIDE)
    return ((y * SIDE + x) * 4).masked_fill(outside, -LINE)


def distinct(values):
    """How many different numbers that are not negative the last dimension holds."""
    ordered = values.sort(dim=-1).values
    steps = (ordered[..., 1:] != ordered[..., :-1]) & (ordered[..., 1:] >= 0)
    return steps.sum(dim=-1) + (ordered[..., 0] >= 0)


def _predictions(work: Work) -> dict[str, dict]:
    found = {}
    for name, rates in GPUS.items():
        floors = floors_ns(work, rates)
        tightest = max(floors, key=floors.__getitem__)
        at_floor = 1e9 / floors[tightest]
        expected = [round(at_floor * part, -4) for part in EXPECTED_SHARE]
        by_floor = {part: round(1e9 / value, -4) for part, value in floors.items()}
        found[name] = asdict(rates) | {"views_per_s": by_floor, "tightest": tightest, "expected_views_per_s": expected}
    return found


if __name__ == "__main__":
    main()
