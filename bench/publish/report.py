"""Draw the picture of the README: the head of a run's report, by headless Chromium.

python -m bench.publish.report RUN bench/results/report.png
"""

import subprocess
from pathlib import Path

from bench.scripts import option_parser
from galaxy_triton.evaluate.report import PAGE

WIDTH, HEIGHT = 900, 545  # CSS pixels: two columns, down to the rule below the head
SHARPNESS = 1.5  # pixels of the picture for one of these


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    command += [f"--force-device-scale-factor={SHARPNESS}", f"--screenshot={options.out.resolve()}"]
    subprocess.run([*command, (options.run / PAGE).resolve().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
