"""The folder of a sweep: what the sweep is of, a table of its trials, and the best configuration."""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override, to_dict, to_toml
from galaxy_triton.data.folds import FOLDS, Folds, write_folds
from galaxy_triton.data.store import Store
from galaxy_triton.experiments.sweep_space import Range, Space
from galaxy_triton.experiments.sweep_study import COMPLETE, LOCK, PRUNED, Trial, lock_sweep
from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import read_json
from galaxy_triton.system.whole_files import PARTIAL, write_text
from galaxy_triton.train.options import RESUMABLE

VERSION = 1  # of sweep.json
SWEEP, BEST, TRIALS = "sweep.json", "best.toml", "trials.csv"
# In a sweep.json of an earlier version a field may be there that is gone; 1 meant what is done now.
GONE = ("config.run.repeat", 1)


def identify(config: Config, space: Space, store: Store, folds: Folds) -> dict[str, Any]:
    """All that makes trials comparable, as sweep.json holds it; where and how they run is free, as in a resumed run."""
    return {
        "version": VERSION,
        "store": store.hash,
        "folds": hashlib.sha256(folds.ids.tobytes() + folds.numbers.tobytes()).hexdigest(),
        "space": {field: asdict(part) if isinstance(part, Range) else part for field, part in space.items()},
        "config": to_dict(override(config, dict.fromkeys(RESUMABLE, "auto"))),
    }


def check(out: Path, identity: dict[str, Any]) -> None:
    """Raise unless the folder is new, empty or of this sweep.

    Raises:
        UsageFault: the sweep there is another, or the folder has other files.
        DataFault: sweep.json is damaged.
    """
    own = [SWEEP, FOLDS, LOCK]  # another worker writes these first, sweep.json last
    others = out.is_dir() and any(file.name.removesuffix(PARTIAL) not in own for file in out.iterdir())
    if (out / SWEEP).is_file():
        _check_same(identity, out / SWEEP)
    elif others:
        do = "choose another --out"
        raise UsageFault(expected("an empty folder or that of a sweep", "one with other files", out, do))


def create_or_join(out: Path, identity: dict[str, Any], folds: Folds) -> None:
    """Create a sweep's folder, or join the sweep there.

    Raises:
        UsageFault, DataFault: as `check`; DataFault: the folder cannot be written.
    """
    check(out, identity)
    with lock_sweep(out):
        if not (out / SWEEP).is_file():
            write_folds(out / FOLDS, folds)
            write_text(out / SWEEP, json.dumps(identity, indent=1) + "\n")
    _check_same(identity, out / SWEEP)  # another worker may have created it meanwhile


def find_best(trials: Sequence[Trial]) -> Trial | None:
    """The trial of the lowest mean RMSE over all folds, the first of equal ones; None before the first is complete."""
    complete = (trial for trial in trials if trial.state == COMPLETE)
    return min(complete, key=lambda trial: trial.mean(), default=None)


def write(out: Path, trials: Sequence[Trial], config: Config, space: Space, folds: int) -> None:
    """Write the table of trials, and the best configuration once there is one; the caller locks the sweep.

    Raises:
        DataFault: the folder cannot be written.
    """
    write_text(out / TRIALS, _table(trials, space, folds))
    if (best := find_best(trials)) is not None:
        title = f"# Trial {best.number}: mean RMSE {best.mean():.4f} over {folds} folds, the lowest of them all.\n"
        write_text(out / BEST, title + to_toml(override(config, best.settings)))


def count_done(out: Path) -> int:
    """How many trials have ended without failing, by the table; 0 without one."""
    if not (out / TRIALS).is_file():
        return 0
    with (out / TRIALS).open(newline="", encoding="utf-8", errors="replace") as file:
        return sum(row.get("state") in (COMPLETE, PRUNED) for row in csv.DictReader(file))


def _check_same(identity: dict[str, Any], file: Path) -> None:
    try:
        known = _flat(read_json(file))
    except (OSError, ValueError) as error:
        do = "choose another --out"
        raise DataFault(expected("the sweep.json of a sweep", reason(error), file, do)) from error
    wanted = _flat(json.loads(json.dumps(identity)))
    known = {name: value for name, value in known.items() if (name, value) != GONE}
    wanted["config.version"] = known.get("config.version")  # of the format alone
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
