#!/usr/bin/env bash
# ome-zarr 0.18.0: write_labels says of coordinate_transformations, which is deprecated, that it takes
# precedence over scale. Neither write_labels nor write_image writes anything of it: a region cut from
# a slide lands at the slide's origin, with px of size 1. Guessed: deprecated, and still obeyed, as the
# docstring has it; scale, which is to be used instead, can say no place.
# Seen: asked for 0.25 at 25, 50; labels and picture are 1 at 0, 0 (0.16.0 and 0.17.0: as asked)
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" ome-zarr==0.18.0 ome-zarr-models==1.7 \
    zarr==3.1.6 dask==2026.8.0
cd "$place"
env/bin/python -W ignore - <<'PY'
import sys

import numpy as np
import zarr
from ome_zarr.format import FormatV04
from ome_zarr.writer import write_image, write_labels

asked = [
    {"type": "scale", "scale": [0.25, 0.25]},
    {"type": "translation", "translation": [25.0, 50.0]},
]
region = np.ones((64, 64), np.int32)
root = zarr.open_group("region.zarr", mode="w", zarr_format=2)
how = {"scale_factors": [], "axes": "yx", "fmt": FormatV04(), "coordinate_transformations": [asked]}
write_image(region.astype(np.uint8), root, **how)
write_labels(region, root, name="nuclei", scaler=None, **how)
seen = {}
for name in ("", "labels/nuclei"):
    (scales,) = zarr.open_group("region.zarr", mode="r", path=name).attrs["multiscales"]
    seen[name or "picture"] = scales["datasets"][0]["coordinateTransformations"]
    print(name or "picture", seen[name or "picture"])
lost = [
    {"type": "scale", "scale": [1.0, 1.0]},
    {"type": "translation", "translation": [0.0, 0.0]},
]
sys.exit(seen != {"picture": lost, "labels/nuclei": lost})
PY
