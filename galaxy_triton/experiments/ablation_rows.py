"""The rows of an ablation: variants of a training step, each one change away from another. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from galaxy_triton.config.schema import BODIES, Config


@dataclass(frozen=True)
class Variant:
    """How a training step is made. The defaults are the write-up's pipeline.

    pixels: "files", through the write-up's pipeline, or "resident" on the device.
    precision: "fp32", or "run" for the precision of the run's configuration.
    layout: memory format of network and views; views of resident pixels are always channels_last.
    augment (of resident pixels), loss, body, norm: as in config.Run.
    """

    pixels: str = "files"
    precision: str = "fp32"
    layout: str = "contiguous"
    augment: str = "torch"
    loss: str = "torch"
    body: str = "eager"
    norm: str = "layers"

    def apply(self, config: Config) -> Config:
        """The configuration, changed to make its steps this way."""
        precision = config.run.precision if self.precision == "run" else self.precision
        run = replace(
            config.run, precision=precision, augment=self.augment, loss=self.loss, body=self.body, norm=self.norm
        )
        return replace(config, run=run)


class Part(NamedTuple):
    """One change to a variant.

    change: fields of Variant. label: of the row that adds it. needs: parts without which it has no effect.
    stays: why it cannot be removed from the full set by itself; "" if it can.
    """

    change: Mapping[str, str]
    label: str
    needs: tuple[str, ...] = ()
    stays: str = ""


class Row(NamedTuple):
    """A row of the table. reason: why it is not measured; "" if it is."""

    key: str
    label: str
    variant: Variant
    reason: str = ""


# In the order in which rows add them. A new kernel is one entry here, and a field of Variant if it has none yet.
PARTS: dict[str, Part] = {
    "autocast": Part({"precision": "run"}, "+ autocast"),
    "channels_last": Part(
        {"layout": "channels_last"}, "+ channels_last", stays="views of resident pixels are channels_last"
    ),
    "resident": Part({"pixels": "resident", "layout": "channels_last"}, "+ resident pixels"),
    "closed": Part({"norm": "torch"}, "+ block ends in closed form"),
    "compile": Part({"body": "compile"}, "+ compiled body"),
    "augment": Part({"augment": "triton"}, "+ fused augmentation", needs=("resident",)),
    "loss": Part({"loss": "triton"}, "+ fused loss"),
    "norm": Part({"norm": "triton"}, "+ fused block ends"),
    "graph": Part({"body": "graph"}, "+ graphs", needs=("compile",)),
}
WRITEUP, MINUS, COMPILE_ONLY = "seed", "minus-", "compile-only"
KEYS = (WRITEUP, *PARTS, *(MINUS + name for name in PARTS), COMPILE_ONLY)

# torch.compile without any kernel of this package, by its mode for the network's body.
COMPILED = Variant("resident", "run", "channels_last", augment="compile", loss="compile", body="compile")
COMPILED_MODES = {body: replace(COMPILED, body=body) for body in BODIES if body not in ("auto", "eager")}


def variant_of(parts: Iterable[str]) -> Variant:
    """The write-up's pipeline with these parts, applied in the order of PARTS."""
    variant, chosen = Variant(), set(parts)
    for name, part in PARTS.items():
        if name in chosen:
            variant = replace(variant, **part.change)
    return variant


def rows_of_parts(unavailable: Mapping[str, str]) -> list[Row]:
    """The write-up's pipeline; then a row for each part, added to those before it; then the full set without each part
    and the parts that need it.

    Args:
        unavailable: part -> why it cannot run here. No other row has it.
    """
    rows, full = [Row(WRITEUP, "seed's pipeline, fp32", Variant())], list[str]()
    for name, part in PARTS.items():
        if name not in unavailable:
            full.append(name)
        rows.append(Row(name, part.label, variant_of(full), unavailable.get(name, "")))
    for name, part in PARTS.items():
        rest = [other for other in full if other != name and name not in PARTS[other].needs]
        label = f"full minus {part.label.removeprefix('+ ')}"
        rows.append(Row(MINUS + name, label, variant_of(rest), unavailable.get(name) or part.stays))
    return rows
