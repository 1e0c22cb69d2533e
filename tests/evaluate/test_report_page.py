"""The report as a browser shows it, on a phone and on a desktop; skipped where there is no Chromium."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from galaxy_triton.evaluate.figures import DOTS_PER_INCH
from galaxy_triton.evaluate.report import PAGE, ReportOptions, write_report
from galaxy_triton.system.console import Display

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"), pytest.mark.process]

WIDTHS = (390, 1280)  # CSS pixels: a phone, a desktop
FIGURES = 9
SMALLEST = 9.5  # CSS pixels of a figure's 9 pt text

# A frame of each width, since headless Chromium has no window narrower than 500 pixels.
PROBE = """<!DOCTYPE html><body style="margin:0;display:flex;align-items:start">
<pre id="measured" hidden></pre>
<script>
const measure = (frame) => {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach((details) => { details.open = true; });
  const shown = [...page.querySelectorAll("*")].filter((element) => element.getClientRects().length);
  return {
    scroll: root.scrollWidth, height: root.scrollHeight, background: getComputedStyle(page.body).backgroundColor,
    right: Math.max(...shown.map((element) => element.getBoundingClientRect().right)),
    fonts: Math.min(...shown.map((element) => parseFloat(getComputedStyle(element).fontSize))),
    // Chromium knows no natural width of an image that it cannot decode.
    images: [...page.images].map((image) => [image.naturalWidth, image.clientWidth]),
    columns: new Set([...page.images].map((image) => image.getBoundingClientRect().left)).size,
    scripts: page.scripts.length,
  };
};
Promise.all(WIDTHS.map((width) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.onload = () => resolve(measure(frame));
  frame.style = `border:0;flex:none;width:${width}px;height:HEIGHTpx`;
  frame.src = "REPORT";
  document.body.append(frame);
}))).then((all) => { document.getElementById("measured").textContent = JSON.stringify(all); });
</script>"""


def browse(folder: Path, page: Path, height: int, *options: str) -> str:
    """What Chromium prints after opening a probe that holds `page` in a frame of each width."""
    probe = folder / "probe.html"
    text = PROBE.replace("WIDTHS", str(list(WIDTHS))).replace("HEIGHT", str(height)).replace("REPORT", page.as_uri())
    probe.write_text(text)
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    # Files are strangers to each other otherwise, and the probe could not look into its frames.
    command += [
        "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=20000",
    ]
    command += [f"--window-size={sum(WIDTHS)},{height}", *options, probe.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory, real_figures: None) -> Path:
    folder = shutil.copytree(run, tmp_path_factory.mktemp("copy") / "run")
    write_report(folder, ReportOptions(views=2), Display(quiet=True))
    return folder / PAGE


@pytest.fixture(scope="module")
def measured(page: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    dom = browse(tmp_path_factory.mktemp("probe"), page, 1000, "--dump-dom")
    found = re.search('<pre id="measured"[^>]*>(.+?)</pre>', dom)
    assert found, dom
    return dict(zip(WIDTHS, json.loads(html.unescape(found[1])), strict=True))


def test_the_page_fits_its_window_and_its_text_is_legible(measured: dict[int, dict[str, Any]]) -> None:
    """It is light, runs nothing and shows every figure; a desktop has columns, a phone has one."""
    for width, found in measured.items():
        assert found["scroll"] == width >= found["right"]
        assert len(found["images"]) == FIGURES
        assert all(9 / 72 * DOTS_PER_INCH * shown / natural >= SMALLEST for natural, shown in found["images"])
        assert found["fonts"] >= 12
        assert (found["background"], found["scripts"]) == ("rgb(255, 255, 255)", 0)
    phone, desktop = (measured[width] for width in WIDTHS)
    assert phone["columns"] == 1 < desktop["columns"]
    assert desktop["height"] < phone["height"]


def test_the_screenshot_is_not_blank(page: Path, tmp_path: Path, measured: dict[int, dict[str, Any]]) -> None:
    height = max(found["height"] for found in measured.values())
    browse(tmp_path, page, height, f"--screenshot={tmp_path / 'shot.png'}")
    with Image.open(tmp_path / "shot.png") as image:
        shot = np.asarray(image.convert("RGB"))
    for left, width in ((0, 390), (390, 1280)):
        part = shot[: measured[width]["height"], left : left + width]
        # Every strip of the page has something on it: text, a figure, a galaxy.
        strips = np.array_split(part, 20)
        assert all((strip < 128).any() for strip in strips), width
        assert len(np.unique(part @ (1 << 16, 1 << 8, 1))) > 500
