"""The folder of a sweep: what the sweep is of, a table of its trials, and the best configuration."""

import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override, to_dict, to_toml
from galaxy_triton.data.folds import FOLDS, Folds, write_folds
from galaxy_triton.data.store import Store
from galaxy_triton.experiments.sweep_space import Space
from galaxy_triton.experiments.sweep_study import LOCK, find_best, folds_of, lock_sweep
from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.output_paths import require_folder_name
from galaxy_triton.system.untrusted_files import read_json
from galaxy_triton.system.whole_files import target_name, write_text
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
        "space": space,
        "config": to_dict(override(config, dict.fromkeys(RESUMABLE, "auto"))),
    }


def check(out: Path, identity: dict[str, Any]) -> None:
    """Raise unless the folder is new, empty or of this sweep.

    Raises:
        UsageFault: the sweep there is another, or the folder has other files.
        DataFault: sweep.json is damaged.
    """
    if (out / SWEEP).is_file():
        _check_same(identity, out / SWEEP)
    # another worker may be about to create the sweep: it writes these first, sweep.json last
    elif out.is_dir() and {target_name(file.name) for file in out.iterdir()} - {LOCK, FOLDS, SWEEP}:
        do = "choose another --out"
        raise UsageFault(expected("an empty folder or that of a sweep", "one with other files", out, do))
    else:
        require_folder_name(out, "--out")


def create_or_join(out: Path, identity: dict[str, Any], folds: Folds, store: Store) -> None:
    """Create a sweep's folder, or join the sweep there.

    Raises:
        UsageFault, DataFault: as `check`; DataFault: the folder cannot be written.
    """
    check(out, identity)
    with lock_sweep(out):
        check(out, identity)  # another worker may have created it meanwhile
        if not (out / SWEEP).is_file():
            write_folds(out / FOLDS, folds, store)
            write_text(out / SWEEP, json.dumps(identity, indent=1) + "\n")


def write(out: Path, trials: list[FrozenTrial], config: Config, space: Space, folds: int) -> None:
    """Write the table of trials, and the best configuration once there is one; the caller locks the sweep.

    Raises:
        DataFault: the folder cannot be written.
    """
    columns = ["trial", "state", "mean_rmse", *(f"fold_{number}" for number in range(1, folds + 1)), *space]
    table = pd.DataFrame(map(_row, trials), columns=columns, dtype=object)
    write_text(out / TRIALS, table.to_csv(index=False, lineterminator="\n"))
    if (best := find_best(trials)) is not None:
        title = f"# Trial {best.number}: mean RMSE {best.value:.4f} over {folds} folds, the lowest of them all.\n"
        write_text(out / BEST, title + to_toml(override(config, best.params)))


def _row(trial: FrozenTrial) -> dict[str, Any]:
    folds = folds_of(trial)
    errors = {f"fold_{number}": f"{error:.7g}" for number, error in enumerate(folds, 1)}
    mean = f"{statistics.fmean(folds):.7g}" if folds else ""
    return {"trial": trial.number, "state": trial.state.name.lower(), "mean_rmse": mean, **errors, **trial.params}


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
