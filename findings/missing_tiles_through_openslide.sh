#!/usr/bin/env bash
# openslide 4.0.1 (openslide-bin 4.0.1.2): of an Aperio slide with tiles that were never stored (byte
# count 0, as scanners leave them) a tile missing on the finest level is transparent there and on the
# coarser level too, although that has its own pixels; one missing on the coarser level is made from
# the finer one. Guessed: each level shows what it has. Nothing says that tiles are missing.
# Seen: finest missing -> 0,0,0,0 on both levels; coarser missing -> the finer level's colour on both
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" \
    openslide-bin==4.0.1.2 openslide-python==1.4.7 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.3.4
"$place/env/bin/python" - "$place" <<'PY'
import sys

import numpy as np
import openslide
import tifffile

COLOUR, COARSE = (10, 120, 30), (255, 0, 0)
fine = np.full((1024, 1024, 3), 200, np.uint8)
fine[:256, :256] = COLOUR
says = (
    "Aperio Image Library v11.2.1\r\n1024x1024 [0,0 1024x1024] (256x256) J2K/RGB Q=70"
    "|AppMag = 40|MPP = 0.2500"
)
how = {"photometric": "rgb", "compression": "deflate", "description": says, "metadata": None}


def corner(page):
    """Colours of the first pixel of both levels where the first tile of a page is missing."""
    path = f"{sys.argv[1]}/{page}.svs"
    with tifffile.TiffWriter(path) as tif:
        tif.write(fine, tile=(256, 256), **how)
        tif.write(fine[::8, ::8], **how)  # the thumbnail
        tif.write(np.full((512, 512, 3), COARSE, np.uint8), tile=(256, 256), **how)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        counts = tif.pages[page].tags["TileByteCounts"]
        counts.overwrite([0, *counts.value[1:]])
    with openslide.OpenSlide(path) as slide:
        return [slide.read_region((0, 0), level, (1, 1)).getpixel((0, 0)) for level in (0, 1)]


seen = {"finest": corner(0), "coarser": corner(2)}
print(seen)
sys.exit(seen != {"finest": [(0, 0, 0, 0)] * 2, "coarser": [(*COLOUR, 255)] * 2})
PY
