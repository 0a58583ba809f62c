"""What QuPath measures of the GeoJSON we write: its formulas, by the library it calls (JTS).

Skipped without it:

apt-get install libjts-java default-jdk-headless
"""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io.formats import write_segmentation

JTS = Path("/usr/share/java/jts-core.jar")

pytestmark = pytest.mark.skipif(
    not JTS.exists() or shutil.which("javac") is None, reason="JTS or a Java compiler is absent"
)

# "Add shape features" of QuPath: area, length, circle, hull and diameters of the geometry.
PROGRAM = """
import java.nio.file.*;
import org.locationtech.jts.algorithm.*;
import org.locationtech.jts.geom.*;
import org.locationtech.jts.io.WKTReader;

public class Measure {
  public static void main(String[] files) throws Exception {
    for (String line : Files.readAllLines(Path.of(files[0]))) {
      String[] parts = line.split("\\t");
      Geometry shape = new WKTReader().read(parts[1]);
      double[] ring = {Double.NaN, Double.NaN};
      if (shape instanceof Polygon) {
        CoordinateSequence outer = ((Polygon) shape).getExteriorRing().getCoordinateSequence();
        ring = new double[] {Area.ofRing(outer), Length.ofLine(outer)};
      }
      System.out.println(String.join(",", parts[0], "" + shape.getArea(), "" + shape.getLength(),
          "" + ring[0], "" + ring[1], "" + shape.getArea() / shape.convexHull().getArea(),
          "" + 2 * new MinimumBoundingCircle(shape).getRadius(),
          "" + new MinimumDiameter(shape).getLength()));
    }
  }
}
"""
COLUMNS = ("id", "area", "length", "ring_area", "ring_length", "solidity", "max_diameter")
COLUMNS += ("min_diameter",)


def nuclei():
    """Bumpy ones, the second with a hole, the third in two pieces."""
    labels, (y, x) = np.zeros((200, 70), np.int32), np.mgrid[:60, :60] - 30
    for k, phase in enumerate((0, 2, 4)):
        inside = np.hypot(y / 24, x / 18) < 1 + 0.1 * np.sin(5 * np.arctan2(y, x) + phase)
        inside[28:31, 28:33] &= k != 1
        inside[:, 35] &= k != 2
        labels[5 + 62 * k : 65 + 62 * k, 5:65][inside] = (9, 70_000, 70_001)[k]
    return labels


def wkt(geometry):
    """Write a geometry of GeoJSON as text that JTS reads."""

    def text(part):
        inner = part if isinstance(part[0], list) else None
        return " ".join(map(str, part)) if inner is None else f"({', '.join(map(text, inner))})"

    return f"{geometry['type'].upper()} {text(geometry['coordinates'])}"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Our table and what JTS measures, both by id."""
    folder = tmp_path_factory.mktemp("jts")
    found = Segmentation.from_labels(nuclei())
    features = json.loads(write_segmentation(found, folder / "a.geojson").read_text())["features"]
    lines = [f"{f['properties']['metadata']['UniNuc: id']}\t{wkt(f['geometry'])}" for f in features]
    (folder / "shapes.txt").write_text("\n".join(lines))
    (folder / "Measure.java").write_text(PROGRAM)
    done = subprocess.run(
        ["java", "-cp", str(JTS), str(folder / "Measure.java"), str(folder / "shapes.txt")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.split()]
    theirs = (
        pd.DataFrame(rows, columns=list(COLUMNS)).astype(float).astype({"id": int}).set_index("id")
    )
    ours = pd.read_csv(write_segmentation(found, folder / "a.csv")).set_index("id")
    return ours, theirs.loc[ours.index]


@pytest.mark.parametrize(
    ("column", "theirs"),
    [
        ("area_px", "area"),
        ("outline_px", "length"),
        ("solidity", "solidity"),
        ("min_feret_px", "min_diameter"),
    ],
)
def test_same_numbers(measured, column, theirs):
    ours, qupath = measured
    np.testing.assert_allclose(ours[column], qupath[theirs], rtol=1e-5)  # a CSV has six digits


def test_what_differs_differs_as_stated(measured):
    """docs/measurements.md gives the formulas."""
    ours, qupath = measured
    circular = 4 * math.pi * qupath["ring_area"] / qupath["ring_length"] ** 2
    plain, holed, _ = circular
    assert plain == pytest.approx(
        4 * math.pi * ours.loc[9, "area_px"] / ours.loc[9, "outline_px"] ** 2
    )
    assert holed > 4 * math.pi * ours.loc[70_000, "area_px"] / ours.loc[70_000, "outline_px"] ** 2
    assert circular.isna().tolist() == [False, False, True]
    ratio = qupath["max_diameter"] / ours["feret_px"]
    assert (ratio >= 1 - 1e-5).all()
    assert 1.001 < ratio.max() < 2 / math.sqrt(3)
