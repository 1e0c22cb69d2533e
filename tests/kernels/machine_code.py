"""Reads cuobjdump's listing of a kernel: its instructions, its loops, and which units of a GPU they need."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

# The unit that executes an operation on sm_90, as NVIDIA's profiler describes them; no rate was measured here.
# fma, alu: fp32 and most of the rest, at full and at half rate; xu: reciprocals, rounding, conversions, at an eighth.
UNITS = {
    "fma": "FADD FFMA FMUL HADD2 HFMA2 HMUL2 IMAD",
    "alu": "BMSK CS2R F2FP FMNMX FMNMX3 FSEL FSET FSETP I2FP IABS IADD IADD3 IMNMX ISETP LEA LOP3 MOV P2R PLOP3 PRMT"
    " R2P SEL SGXT SHF VIADD VIADDMNMX VIMNMX",
    "xu": "F2F F2I FRND I2F MUFU",
    "load": "LDG",
    "store": "STG",
    "shared": "LDS SHFL STS",
    "branch": "BAR BRA BRX BSSY BSYNC CALL EXIT RET WARPSYNC",
}
UNIT_OF = {operation: unit for unit, operations in UNITS.items() for operation in operations.split()}
KINDS = (*UNITS, "other")  # such as loads of constants, and what a warp does once for all its threads

_INSTRUCTION = re.compile(
    r"^ +/\*(?P<address>[0-9a-f]{4,})\*/ +(?:@\S+ +)?(?P<operation>[A-Z][A-Z0-9]*)(?P<rest>[^;]*);", re.MULTILINE
)


class Instruction(NamedTuple):
    """target: the address that a branch goes to, else None."""

    address: int
    operation: str
    target: int | None


def instructions(report: str) -> list[Instruction]:
    """Of the one kernel in it, without the NOPs that fill it up."""
    return [_instruction(match) for match in _INSTRUCTION.finditer(report) if match["operation"] != "NOP"]


def _instruction(match: "re.Match[str]") -> Instruction:
    target = re.search(r"0x([0-9a-f]+)\s*$", match["rest"]) if match["operation"] == "BRA" else None
    return Instruction(int(match["address"], 16), match["operation"], int(target[1], 16) if target else None)


def loops(code: list[Instruction]) -> Iterator[list[Instruction]]:
    """The body of each loop, from where a branch goes back to up to that branch, without the loops inside it."""
    spans = [(each.target, each.address) for each in code if each.target is not None and each.target < each.address]
    for first, last in spans:
        inside = [span for span in spans if span != (first, last) and first <= span[0] and span[1] <= last]
        body = (each for each in code if first <= each.address <= last)
        yield [each for each in body if not any(start <= each.address <= end for start, end in inside)]


def kinds(body: list[Instruction]) -> Counter[str]:
    """How many need each unit."""
    return Counter(UNIT_OF.get(each.operation, "other") for each in body)
