"""ImageJ (Debian's package, on a screen that nobody sees) measures the ROI sets we write.

Skipped without it:

apt-get install imagej
"""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io.formats import write_segmentation

IMAGEJ = Path("/usr/share/java/ij.jar")

pytestmark = pytest.mark.skipif(
    not IMAGEJ.exists() or shutil.which("java") is None or "DISPLAY" not in os.environ,
    reason="ImageJ is not installed, or there is no screen (its ROIs need one even in batch mode)",
)

MACRO = """
folder = getArgument();
names = split(File.openAsString(folder + "names.txt"), "\\n");
newImage("a", "8-bit black", 400, 400, 1);
said = "id,area,perimeter,circularity,solidity,feret,min_feret\\n";
for (i = 0; i < names.length; i++) {
  open(folder + names[i] + ".roi");
  said = said + names[i] + "," + d2s(getValue("Area"), 6) + "," + d2s(getValue("Perim."), 6);
  said = said + "," + d2s(getValue("Circ."), 6) + "," + d2s(getValue("Solidity"), 6);
  said = said + "," + d2s(getValue("Feret"), 6) + "," + d2s(getValue("MinFeret"), 6) + "\\n";
}
File.saveString(said, folder + "measured.csv");
"""


def bumpy(count=36, pitch=60):
    """Nuclei with bumps; every sixth has a hole, every ninth is in two pieces."""
    rng = np.random.default_rng(3)
    labels = np.zeros((6 * pitch + 40, 6 * pitch + 40), np.int32)
    y, x = np.mgrid[:pitch, :pitch] - pitch / 2
    angle = np.arctan2(y, x)
    for k in range(count):
        a, b, phase = rng.uniform([12, 9, 0], [25, 20, 6])
        inside = np.hypot(y / a, x / b) < 1 + 0.1 * np.sin(5 * angle + phase)
        inside[28:31, 28:33] &= k % 6 != 0
        inside[:, 35] &= k % 9 != 0
        top, left = k // 6 * pitch + 11, k % 6 * pitch + 7
        labels[top : top + pitch, left : left + pitch][inside] = 5 * k + 70_000
    return labels


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Our table and what ImageJ measures, both by id."""
    folder = tmp_path_factory.mktemp("imagej")
    nuclei = Segmentation.from_labels(bumpy())
    ours = pd.read_csv(write_segmentation(nuclei, folder / "ours.csv")).set_index("id")
    with zipfile.ZipFile(write_segmentation(nuclei, folder / "a.rois.zip")) as rois:
        rois.extractall(folder)
        names = [Path(each).stem for each in rois.namelist() if each.endswith(".roi")]
    (folder / "names.txt").write_text("\n".join(names))
    (folder / "measure.ijm").write_text(MACRO)
    done = subprocess.run(
        [
            *("java", "-Xmx512m", "-cp", str(IMAGEJ), "ij.ImageJ"),
            *("-batch", str(folder / "measure.ijm"), f"{folder}/"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, HOME=str(folder)),
    )
    table = folder / "measured.csv"
    assert table.exists(), done.stdout + done.stderr
    theirs = pd.read_csv(table)
    theirs.index = pd.Index([int(str(name).split("-")[0]) for name in theirs["id"]], name="id")
    return ours, theirs.loc[ours.index]


@pytest.mark.parametrize(
    ("column", "theirs", "within"),
    [
        ("area_px", "area", 0),
        ("solidity", "solidity", 1e-4),
        ("feret_px", "feret", 1e-4),
        ("min_feret_px", "min_feret", 1e-4),
    ],
)
def test_same_names_are_the_same_numbers(measured, column, theirs, within):
    ours, imagej = measured
    np.testing.assert_allclose(ours[column], imagej[theirs], rtol=0, atol=within)


def test_what_differs_differs_as_stated(measured):
    """docs/measurements.md gives the formulas."""
    ours, imagej = measured
    circle = np.minimum(4 * np.pi * imagej["area"] / imagej["perimeter"] ** 2, 1)
    np.testing.assert_allclose(imagej["circularity"], circle, atol=1e-4)
    ratio = imagej["perimeter"] / ours["perimeter_px"]
    assert 1 < ratio.median() < 1.06
    # Perim. = outline_px - (2 - sqrt 2) x corners, a whole number of them.
    k = np.arange(len(ours))
    plain = (k % 6 != 0) & (k % 9 != 0)  # one ring: of composites ImageJ adds up lines as drawn
    corners = (ours["outline_px"] - imagej["perimeter"])[plain] / (2 - np.sqrt(2))
    np.testing.assert_allclose(corners, corners.round(), atol=1e-4)
