"""The benchmark suites: every row that can run here, as `python -m bench.publish` runs them too."""

import sys
import time
from pathlib import Path

from bench.gpu.stages.stage import begin
from bench.publish.suites import SUITES, condense, run

SHARES = (0.55, 1.0)  # of the time that is left, for the suite whose turn it is


def main() -> None:
    arguments, found = begin()
    deadline = time.monotonic() + arguments.limit - 5
    found.fact("command", "python -m bench.gpu.on_gpu")
    ends = {}
    for suite, share in zip(SUITES, SHARES, strict=True):
        file = Path(f"{Path(suite).stem}.jsonl").resolve()
        ends[file] = run(suite, file, share * (deadline - time.monotonic()), arguments.small)
        result = condense(ends)
        result["made_with"]["commit"] = arguments.commit or result["made_with"]["commit"]
        for name, value in result.items():
            found.fact(name, value)
    sys.exit(1 if any(entry["failed"] for entry in result["left_out"]) else 0)


if __name__ == "__main__":
    main()
