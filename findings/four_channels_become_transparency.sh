#!/usr/bin/env bash
# tifffile 2026.3.3: four planes (4, H, W) written by imwrite without a word about
# colours are stored as RGB with unassociated alpha; written as OME-TIFF or for ImageJ they are four
# grey channels. Guessed: four grey pages or channels in all three. Who writes four fluorescence
# channels so, gets a file that any reader takes for a picture with transparency.
# Seen: plain RGB UNASSALPHA SYX | ome MINISBLACK CYX | imagej MINISBLACK CYX
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" tifffile==2026.3.3 numpy==2.3.4
"$place/env/bin/python" - "$place" <<'PY'
import sys

import numpy as np
import tifffile

planes = np.random.default_rng(0).integers(0, 4000, (4, 64, 64)).astype(np.uint16)
seen = {}
for name, how in {"plain": {}, "ome": {"ome": True}, "imagej": {"imagej": True}}.items():
    path = f"{sys.argv[1]}/{name}.tif"
    tifffile.imwrite(path, planes, **how)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        extra = "".join(sample.name for sample in page.extrasamples)
        seen[name] = f"{page.photometric.name} {extra} {tif.series[0].axes}".replace("  ", " ")
print(seen)
expected = {"plain": "RGB UNASSALPHA SYX", "ome": "MINISBLACK CYX", "imagej": "MINISBLACK CYX"}
sys.exit(seen != expected)
PY
