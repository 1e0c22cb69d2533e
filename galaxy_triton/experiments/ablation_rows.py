"""What `ablate` compares: ways to make a training step, each one change from another. Nothing here imports torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from galaxy_triton.config.schema import BODIES, Config


@dataclass(frozen=True)
class Way:
    """How a step is made, from the seed's pipeline on; names are those of the configuration where it has them."""

    pixels: str = "files"  # through the seed's pipeline; or "resident"
    precision: str = "fp32"  # or "run": what the run's own configuration comes to
    layout: str = "contiguous"  # of network and views; or "channels_last", which views of resident pixels always are
    augment: str = "torch"  # of resident pixels
    loss: str = "torch"
    body: str = "eager"
    norm: str = "layers"

    def configured(self, config: Config) -> Config:
        """The configuration of a run that makes its steps this way."""
        precision = config.run.precision if self.precision == "run" else self.precision
        run = replace(
            config.run, precision=precision, augment=self.augment, loss=self.loss, body=self.body, norm=self.norm
        )
        return replace(config, run=run)


class Part(NamedTuple):
    """One change to a way.

    change: fields of Way. label: the row that adds it. needs: parts without which it means nothing.
    stays: why it cannot be taken out of the full set by itself; "" if it can.
    """

    change: Mapping[str, str]
    label: str
    needs: tuple[str, ...] = ()
    stays: str = ""


class Row(NamedTuple):
    """A row of the table. reason: why it cannot be measured here, "" if it can; without a reason it has a way."""

    key: str
    label: str
    way: Way | None
    reason: str = ""


# In the order in which they are added. A further kernel is one entry here, and a field of Way where it has none.
PARTS: dict[str, Part] = {
    "autocast": Part({"precision": "run"}, "+ autocast"),
    "channels_last": Part(
        {"layout": "channels_last"}, "+ channels_last", stays="views of resident pixels are channels_last"
    ),
    # views then come from the torch reference
    "resident": Part({"pixels": "resident", "layout": "channels_last"}, "+ resident pixels"),
    "closed": Part({"norm": "torch"}, "+ block ends in closed form"),
    "compile": Part({"body": "compile"}, "+ compiled body"),
    "augment": Part({"augment": "triton"}, "+ fused augmentation", needs=("resident",)),
    "loss": Part({"loss": "triton"}, "+ fused loss"),
    "norm": Part({"norm": "triton"}, "+ fused block ends"),
    "graph": Part({"body": "graph"}, "+ graphs", needs=("compile",)),
}
SEED, MINUS, ALONE = "seed", "minus-", "compile-only"
MODES = tuple(body for body in BODIES if body not in ("auto", "eager"))  # those of torch.compile
KEYS = (SEED, *PARTS, *(MINUS + name for name in PARTS), ALONE)
COMPILED = Way("resident", "run", "channels_last", augment="compile", loss="compile")  # but for the body's mode


def way_of(parts: Iterable[str]) -> Way:
    """The seed's pipeline with these parts, in the order of PARTS."""
    way, chosen = Way(), set(parts)
    for name, part in PARTS.items():
        if name in chosen:
            way = replace(way, **part.change)
    return way


def ladder(faults: Mapping[str, str]) -> list[Row]:
    """The seed's pipeline, and a row for each part: it and all before it that can run here.

    Args:
        faults: part -> why it cannot run here.
    """
    rows, added = [Row(SEED, "seed's pipeline, fp32", Way())], []
    for name, part in PARTS.items():
        if name in faults:
            rows.append(Row(name, part.label, None, faults[name]))
        else:
            added.append(name)
            rows.append(Row(name, part.label, way_of(added)))
    return rows


def minus_one(faults: Mapping[str, str]) -> list[Row]:
    """The full set, all that can run here, without each of its parts and what means nothing without that."""
    full = [name for name in PARTS if name not in faults]
    return [_without(name, full, faults.get(name) or PARTS[name].stays) for name in PARTS]


def compiled_alone() -> dict[str, Way]:
    """What torch.compile can do by itself, by the mode of the body."""
    return {mode: replace(COMPILED, body=mode) for mode in MODES}


def _without(name: str, full: list[str], reason: str) -> Row:
    key, label = MINUS + name, f"full minus {PARTS[name].label.removeprefix('+ ')}"
    if reason:
        return Row(key, label, None, reason)
    gone = {name, *(other for other in full if name in PARTS[other].needs)}
    return Row(key, label, way_of(part for part in full if part not in gone))
