#!/usr/bin/env bash
# napari 0.9.2: a picture of 0.25 um a px and labels of 250 nm a px lie on each other, for the
# viewer converts units: its extent is that of both. world_to_data of the picture does not: it takes
# a place of the common world, which is in nm now, for um. Guessed: both convert.
# Seen: extent in nm 24750; the labels' px 50 of world place 12500 is px 50000 of the picture
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" napari==0.9.2
"$place/env/bin/python" - <<'PY'
import sys

import numpy as np
from napari.components import ViewerModel

viewer = ViewerModel()
picture = viewer.add_image(np.zeros((100, 100)), scale=(0.25, 0.25), units=("um", "um"))
labels = viewer.add_labels(np.zeros((100, 100), int), scale=(250, 250), units=("nm", "nm"))
end = float(viewer.layers.extent.world[1, 0])
world = (12_500.0, 12_500.0)
px = [float(layer.world_to_data(world)[0]) for layer in (labels, picture)]
print("common world ends at", end, [str(unit) for unit in viewer.layers.extent.units])
print("world", world[0], "is px", px[0], "of the labels and px", px[1], "of the picture")
sys.exit((end, px) != (24_750.0, [50.0, 50_000.0]))
PY
