"""Count the machine instructions that the augmentation executes for a pixel, by the unit that they need.

    python -m tests.kernels.instructions [--out FILE]

prints a row for each loop of each kind of view (160 -> 128 pixels, bf16, sm_90), or writes them to a file, whole or not
at all. The colour operations' order decides the branches that an image takes. With the order as a constant no branch is
left, and a loop's body is what is executed; a row is the mean over the orders. The kernel itself executes some four
branches more for each thread and tile.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton

from tests.kernels.compile_ahead import SOURCES, Source, compiled, disassembly, gpu, own_cache, write
from tests.kernels.machine_code import KINDS, Instruction, instructions, kinds, loops
from tests.kernels.variants import Variant

TRAINING = Variant("draw", "sm_90", "bf16", "words", 3, "zeros", True, 1)
VIEWS = {"full jitter": 15, "no contrast": 13, "no jitter": 0}  # and their OPERATIONS
ORDERS = 24
TAPS = 4  # loads of a pixel
COLUMNS = ("triton", "view", "loop", "all", *KINDS)


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a CSV file")
    out = parser.parse_args().out
    write(COLUMNS, [row for view in VIEWS for row in _rows(view)], out)


def with_order(ttir: str, order: int) -> str:
    """A draw kernel's intermediate code with the drawn order, its only number that is rounded, as a constant."""
    text, count = re.subn(r"arith\.fptosi %\w+ : f32 to i32", f"arith.constant {order} : i32", ttir)
    if count != 1:
        raise ValueError(f"Expected one number that is rounded, got {count}: look at how draw_jitter draws the order")
    return text


def per_pixel(body: list[Instruction]) -> Counter[str]:
    """How many of each kind a thread executes for a pixel in a loop that loads a pixel's TAPS words."""
    counts = kinds(body)
    return Counter({kind: count * TAPS / counts["load"] for kind, count in counts.items()})


def _rows(view: str) -> Iterator[dict[str, str]]:
    source = SOURCES["draw"](TRAINING)
    source = source._replace(constants=source.constants | {"OPERATIONS": VIEWS[view]})
    executed = [[per_pixel(body) for body in loops(code) if kinds(body)["load"]] for code in _codes(source)]
    for number, same in enumerate(zip(*executed, strict=True)):
        mean = {kind: sum(counts[kind] for counts in same) / len(same) for kind in KINDS}
        loop = "write" if number == len(executed[0]) - 1 else "mean"
        figures = {kind: f"{value:.2f}" for kind, value in mean.items()}
        yield {"triton": triton.__version__, "view": view, "loop": loop, "all": f"{sum(mean.values()):.2f}", **figures}


def _codes(source: Source) -> Iterator[list[Instruction]]:
    """The machine code with each order in turn, or, without colours, as it is."""
    with own_cache() as folder:
        kernel = compiled(source, TRAINING.target)
        if source.constants["OPERATIONS"] == 0:
            yield _code(kernel)
            return
        for order in range(ORDERS):
            file = folder / f"{order}.ttir"
            file.write_text(with_order(kernel.asm["ttir"], order))
            yield _code(triton.compile(str(file), target=gpu(TRAINING.target), options=source.options))


def _code(kernel: Any) -> list[Instruction]:
    return instructions(disassembly(kernel.asm["cubin"], "-sass"))


if __name__ == "__main__":
    main()
