"""One small launch of each kernel under compute-sanitizer; if that is not installed, without it."""

import os
import shutil
import subprocess
import sys

from bench.gpu.stages.stage import begin


def main() -> None:
    arguments, found = begin()
    tool = shutil.which("compute-sanitizer") if arguments.device == "cuda" else None
    checks = ["memcheck", "racecheck"] if tool else [None]
    found.fact("tool", tool)
    if tool is None:
        found.fact("left_out", [{"what": "memcheck, racecheck", "reason": "no compute-sanitizer here, or no GPU"}])
    # Each tensor has an allocation of its own, so that an access outside is seen.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    for check in checks:
        before = [tool, "--tool", check, "--error-exitcode", "9"] if check else []
        command = [*before, sys.executable, "-m", "bench.gpu.stages.small_launch", arguments.device]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        summary = [line for line in done.stdout.splitlines() if "SUMMARY" in line]
        found.row(what=check or "plain", ok=done.returncode == 0, summary=" ".join(summary))
    sys.exit(1 if found.faults() else 0)


if __name__ == "__main__":
    main()
