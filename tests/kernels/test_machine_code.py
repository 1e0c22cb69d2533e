"""Machine code is read as it was written here by hand; the draw kernel's loops load and store what pixels need."""

import csv
from pathlib import Path

import pytest

from tests.kernels.instructions import per_pixel, with_order
from tests.kernels.machine_code import instructions, kinds, loops
from tests.support.processes import compile_python

COUNTED = Path(__file__).resolve().parents[2] / "bench" / "results" / "instructions.csv"
REPORT = """
	code for sm_90
        /*0000*/                   S2R R0, SR_TID.X ;                    /* 0x0000000000007919 */
                                                                         /* 0x000e220000002500 */
        /*0010*/              @!P0 BRA 0x30 ;                            /* 0x0000000c00f80947 */
        /*0020*/                   FMUL.SAT R1, R0.reuse, -R2 ;          /* 0x0000000000007919 */
        /*0030*/                   FADD R1, R1, 1 ;                      /* 0x0000000000007919 */
        /*0040*/               @P1 LDG.E R3, desc[UR4][R4.64+0x280] ;    /* 0x0000000000007919 */
        /*0050*/                   I2F.U8 R5, R3.B1 ;                    /* 0x0000000000007919 */
        /*0060*/             @!UP2 BRA 0x40 ;                            /* 0x0000000c00f80947 */
        /*0070*/                   IADD3 R6, R6, 0x1, RZ ;               /* 0x0000000000007919 */
        /*0080*/                   STG.E.U16 desc[UR4][R8.64], R5 ;      /* 0x0000000000007919 */
        /*0090*/               @P0 BRA 0x20 ;                            /* 0x0000000c00f80947 */
        /*00a0*/                   EXIT ;                                /* 0x000000000000794d */
        /*00b0*/                   BRA 0xb0;                             /* 0xfffffffc00fc7947 */
        /*00c0*/                   NOP;                                  /* 0x0000000000007918 */
"""


def test_loops_are_from_the_target_of_a_branch_to_it_without_the_loops_inside() -> None:
    bodies = [[each.operation for each in body] for body in loops(instructions(REPORT))]
    assert bodies == [["LDG", "I2F", "BRA"], ["FMUL", "FADD", "IADD3", "STG", "BRA"]]


def test_instructions_are_counted_by_the_unit_that_they_need() -> None:
    code = instructions(REPORT)
    assert len(code) == 12
    assert kinds(code) == {"fma": 2, "alu": 1, "xu": 1, "load": 1, "store": 1, "branch": 5, "other": 1}


def test_a_pixel_has_four_loads() -> None:
    inner, _ = loops(instructions(REPORT))
    assert per_pixel(inner) == {"load": 4, "xu": 4, "branch": 4}


def test_the_order_is_the_one_number_that_is_rounded() -> None:
    drawn = "%order = arith.fptosi %order_4 : f32 to i32"
    others = "%ix = arith.fptosi %left : tensor<1024xf32> to tensor<1024xi32>"
    assert with_order(f"{others}\n{drawn}", 7) == f"{others}\n%order = arith.constant 7 : i32"
    for wrong in (others, f"{drawn}\n{drawn}"):
        with pytest.raises(ValueError, match="one number that is rounded"):
            with_order(wrong, 7)


@pytest.mark.slow  # compiles each order of the colours: minutes
def test_a_pixel_is_loaded_and_stored_once_in_a_loop_without_branches() -> None:
    done = compile_python("-m", "tests.kernels.instructions")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    with COUNTED.open(newline="") as handle:
        tabled = list(csv.DictReader(handle))
    assert tabled == rows or tabled[0]["triton"] != rows[0]["triton"]
    found = [(row["view"], row["loop"], float(row["load"]), float(row["store"])) for row in rows]
    without_mean = [(view, "write", 4.0, 3.0) for view in ("no contrast", "no jitter")]
    assert found == [("full jitter", "mean", 4.0, 0.0), ("full jitter", "write", 4.0, 3.0), *without_mean]
    # but the one that closes the loop over a thread's pixels
    assert all(float(row["branch"]) < 1 for row in rows)
