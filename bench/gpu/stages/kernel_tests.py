"""Run tests/kernels with compiled kernels: a process for each file, several at the same time."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bench.gpu.stages.stage import begin
from bench.publish.suites import PYTEST_SETTINGS

AT_ONCE = 8  # processes; most of the time they compile
# These check the same on a CPU.
ELSEWHERE = ("test_compile_ahead.py", "test_machine_code.py", "test_faults.py", "test_imports.py", "test_errors.py")


def main() -> None:
    arguments, found = begin()
    deadline = time.monotonic() + arguments.limit - 10
    folder = arguments.root / "tests" / "kernels"
    files = sorted(file for file in folder.glob("test_*.py") if file.name not in ELSEWHERE)
    files = files if not arguments.small else [folder / "test_philox.py", folder / "test_availability.py"]
    found.fact("left_out", [{"what": name, "reason": "needs no GPU"} for name in ELSEWHERE])
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        ends = {pool.submit(run_tests, file, arguments.root, deadline): file for file in files}
        for end in as_completed(ends):
            found.row(what=ends[end].name, **end.result())
    sys.exit(1 if found.faults() else 0)


def run_tests(file: Path, root: Path, deadline: float) -> dict[str, object]:
    """Run the tests of a file; returns how they ended."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", str(file)]
    command += [*PYTEST_SETTINGS, f"--rootdir={root}"]
    # The tests run in torch's deterministic mode, in which cuBLAS (torchvision's rotate) asks for this.
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    log = Path(f"{file.stem}.log")
    with log.open("w") as output:
        try:
            left = max(0.1, deadline - time.monotonic())
            done = subprocess.run(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=left, check=False
            )
            ended = done.returncode == 0
        except subprocess.TimeoutExpired:
            return {"ok": False, "summary": "stopped at the stage's limit"}
    lines = log.read_text(errors="replace").splitlines()
    print(*lines[-40:] if not ended else [], sep="\n")
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"ok": ended, "summary": lines[-1] if lines else "", "failed": failed}


if __name__ == "__main__":
    main()
