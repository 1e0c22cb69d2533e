"""The folder of a sweep: what it is of, a table of its trials, and the best configuration."""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override, to_dict, to_toml
from galaxy_triton.data.folds import FOLDS, Folds, write_folds
from galaxy_triton.data.store import Store
from galaxy_triton.experiments.sweep_space import Range, Space
from galaxy_triton.experiments.sweep_study import COMPLETE, LOCK, Trial, held
from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import read_json
from galaxy_triton.system.whole_files import PARTIAL, write_text
from galaxy_triton.train.options import RESUMABLE

VERSION = 1  # of sweep.json
SWEEP, BEST, TRIALS = "sweep.json", "best.toml", "trials.csv"


def join(out: Path, config: Config, space: Space, store: Store, folds: Folds) -> None:
    """Begin a sweep in its folder, or see that the one there is this one.

    Raises:
        UsageFault: the sweep there is another, or the folder has other files.
        DataFault: sweep.json is not as written, or the folder cannot be written.
    """
    identity = _identity(config, space, store, folds)
    if not (out / SWEEP).is_file():
        _begin(out, identity, folds)
    _check_same(identity, out / SWEEP)


def check_joinable(out: Path, config: Config, space: Space, store: Store, folds: Folds) -> None:
    """See that `join` would take the folder, and write nothing.

    Raises:
        UsageFault, DataFault: as `join`; whether the folder can be written is not tried.
    """
    if (out / SWEEP).is_file():
        _check_same(_identity(config, space, store, folds), out / SWEEP)
        return
    with suppress(FileNotFoundError):
        _check_unused(out)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial of the lowest mean RMSE over all folds, the first of equal ones; None before the first is complete."""
    complete = (trial for trial in trials if trial.state == COMPLETE)
    return min(complete, key=lambda trial: trial.mean(), default=None)


def write(out: Path, trials: Sequence[Trial], config: Config, space: Space, folds: int) -> None:
    """Write the table of trials, and the best configuration once there is one. Others must be held off.

    Raises:
        DataFault: the folder cannot be written.
    """
    write_text(out / TRIALS, _table(trials, space, folds))
    if (best := best_of(trials)) is not None:
        title = f"# Trial {best.number}: mean RMSE {best.mean():.4f} over {folds} folds, the lowest of them all.\n"
        write_text(out / BEST, title + to_toml(override(config, best.settings)))


def _begin(out: Path, identity: dict[str, Any], folds: Folds) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _check_unused(out)
    with held(out):
        # another worker may have begun it meanwhile
        if not (out / SWEEP).is_file():
            write_folds(out / FOLDS, folds)
            write_text(out / SWEEP, json.dumps(identity, indent=1) + "\n")


def _check_unused(out: Path) -> None:
    others = any(file.name.removesuffix(PARTIAL) not in (SWEEP, FOLDS, LOCK) for file in out.iterdir())
    # sweep.json last: another worker writes it before any of the others
    if others and not (out / SWEEP).is_file():
        do = "choose another --out"
        raise UsageFault(expected("an empty folder or that of a sweep", "one with other files", out, do))


def _identity(config: Config, space: Space, store: Store, folds: Folds) -> dict[str, Any]:
    """All that makes trials comparable; where and how they run is free, as for a resumed run."""
    drawn = hashlib.sha256(folds.ids.tobytes() + folds.numbers.tobytes()).hexdigest()
    identity = {
        "version": VERSION,
        "store": store.hash,
        "folds": drawn,
        "space": {field: asdict(part) if isinstance(part, Range) else part for field, part in space.items()},
        "config": to_dict(override(config, dict.fromkeys(RESUMABLE, "auto"))),
    }
    as_read: dict[str, Any] = json.loads(json.dumps(identity))
    return as_read


def _check_same(identity: dict[str, Any], file: Path) -> None:
    try:
        known = _flat(read_json(file))
    except (OSError, ValueError) as error:
        do = "choose another --out"
        raise DataFault(expected("the sweep.json of a sweep", reason(error), file, do)) from error
    wanted = _flat(identity)
    if other := sorted(name for name in known.keys() | wanted.keys() if known.get(name) != wanted.get(name)):
        do = "give the options that it was begun with, or another --out"
        raise UsageFault(expected("the sweep that was begun there", f"another {', '.join(other[:5])}", file, do))


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return flat


def _table(trials: Sequence[Trial], space: Space, folds: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "mean_rmse", *(f"fold_{number}" for number in range(1, folds + 1)), *space])
    for trial in trials:
        errors = [f"{error:.7g}" for error in trial.folds]
        mean = f"{trial.mean():.7g}" if errors else ""
        values = (trial.settings.get(field, "") for field in space)
        writer.writerow([trial.number, trial.state, mean, *errors, *[""] * (folds - len(errors)), *values])
    return text.getvalue()
