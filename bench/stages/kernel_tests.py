"""tests/kernels where the kernels are compiled, not interpreted."""

import os
import subprocess
import sys

from stage import begin


def main() -> None:
    arguments, found = begin()
    root = arguments.root
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={root}", "-c", str(root / "pyproject.toml"), "--durations=8"]
    chosen = [str(root / "tests" / "kernels")] if not arguments.small else [str(root / "tests/kernels/test_errors.py")]
    command = [sys.executable, "-m", "pytest", *options, *chosen]
    # The tests run in torch's deterministic mode, in which cuBLAS (torchvision's rotate) asks for this.
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    done = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    print(done.stdout)
    lines = done.stdout.splitlines()
    found.fact("failed", [line for line in lines if line.startswith(("FAILED", "ERROR"))])
    found.fact("summary", lines[-1] if lines else "")
    sys.exit(done.returncode)


main()
