"""Tiny files in the layouts of other programs, each with an outline whose pixels are known."""

import json
import sqlite3
import struct
import zlib

import numpy as np
import roifile

SHAPE = (24, 30)

# Rows 3 to 8 and columns 5 to 14, as every program here writes them.
BLOCK = np.zeros(SHAPE, dtype=np.int32)
BLOCK[3:9, 5:15] = 1
CORNERS = [[5, 3], [15, 3], [15, 9], [5, 9]]
CENTRES = [[5, 3], [14, 3], [14, 8], [5, 8]]

HOVERNET = {
    "mag": 40,
    "nuc": {
        "7": {
            "bbox": [[3, 5], [9, 15]],
            "centroid": [9.5, 5.5],
            "contour": CENTRES,
            "type_prob": 0.75,
            "type": 1,
        }
    },
}
CELLVIT = {
    "wsi_metadata": {"base_magnification": 40},
    "processed_patches": ["0_0"],
    "type_map": {"0": "Background", "1": "Neoplastic"},
    "cells": [
        {
            "bbox": [[3, 5], [9, 15]],
            "centroid": [9.5, 5.5],
            "contour": CENTRES,
            "type_prob": 0.75,
            "type": 1,
            "patch_coordinates": [0, 0],
            "cell_status": 0,
            "offset_global": [0, 0],
        }
    ],
}
CELLVIT_FEATURES = [
    {
        "type": "Feature",
        "id": "0b8e7f5e-37a4-4c8a-b0a5-5a3d0f1f5a01",
        "geometry": {
            "type": "MultiPolygon",
            "coordinates": [[[*CENTRES, CENTRES[0]]], [[[20, 15], [22, 15], [22, 17], [20, 15]]]],
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": "Neoplastic", "color": [255, 0, 0]},
        },
    }
]
ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
  <Annotations>
    <Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58">
      <Coordinates>
        <Coordinate Order="1" X="15" Y="3" />
        <Coordinate Order="0" X="5,0" Y="3.0" />
        <Coordinate Order="2" X="15" Y="9" />
        <Coordinate Order="3" X="5" Y="9" />
      </Coordinates>
    </Annotation>
    <Annotation Name="Annotation 1" Type="Dot" PartOfGroup="None" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="1" /></Coordinates>
    </Annotation>
  </Annotations>
  <AnnotationGroups>
    <Group Name="Tumor" PartOfGroup="None" Color="#F4FA58"><Attributes /></Group>
  </AnnotationGroups>
</ASAP_Annotations>
"""
IMAGESCOPE = """<?xml version="1.0" encoding="UTF-8"?>
<Annotations MicronsPerPixel="0.252000">
  <Annotation Id="1" Name="Tumor" ReadOnly="0" Type="4" LineColor="5831412" Visible="1">
    <Attributes><Attribute Name="Description" Id="0" Value=""/></Attributes>
    <Regions>
      <RegionAttributeHeaders><AttributeHeader Id="9999" Name="Region"/></RegionAttributeHeaders>
      <Region Id="1" Type="0" Zoom="0.5" Text="" NegativeROA="0" InputRegionId="0" DisplayId="1">
        <Attributes/>
        <Vertices>
          <Vertex X="5" Y="3" Z="0"/><Vertex X="15" Y="3" Z="0"/>
          <Vertex X="15" Y="9" Z="0"/><Vertex X="5" Y="9" Z="0"/>
        </Vertices>
      </Region>
      <Region Id="2" Type="0" NegativeROA="1" DisplayId="2">
        <Vertices><Vertex X="6" Y="4"/><Vertex X="8" Y="4"/><Vertex X="8" Y="6"/></Vertices>
      </Region>
    </Regions>
    <Plots/>
  </Annotation>
</Annotations>
"""


def write_store(path, wkb, properties):
    """Lay out a store as tiatoolbox 2.1.3 does."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE metadata (key TEXT UNIQUE, value TEXT)")
        database.execute("INSERT INTO metadata VALUES ('compression', '\"zlib\"')")
        database.execute(
            "CREATE TABLE annotations(id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, "
            "cx FLOAT NOT NULL, cy FLOAT NOT NULL, geometry BLOB, properties TEXT, "
            "area FLOAT NOT NULL)"
        )
        database.execute(
            "INSERT INTO annotations VALUES (1, 'k', 'Polygon', 9.5, 5.5, ?, ?, 45)",
            (zlib.compress(wkb, 9), json.dumps(properties)),
        )
        database.execute("INSERT INTO annotations VALUES (2, 'l', 'Point', 1, 1, NULL, '{}', 0)")
    database.close()


def wkb_of(ring, order="<"):
    """Well-known binary of a polygon."""
    closed = [*ring, ring[0]]
    numbers = [value for point in closed for value in point]
    head = struct.pack(f"{order}BIII", order == "<", 3, 1, len(closed))
    return head + struct.pack(f"{order}{len(numbers)}d", *numbers)


def write_files(folder):
    """One file of each format, named as its title."""
    made = {}
    for title, name, text in (
        ("HoVer-Net JSON", "a.json", json.dumps(HOVERNET)),
        ("CellViT JSON", "cells.json", json.dumps(CELLVIT)),
        ("CellViT GeoJSON", "cells.geojson", json.dumps(CELLVIT_FEATURES)),
        ("ASAP XML", "asap.xml", ASAP),
        ("ImageScope XML", "scope.xml", IMAGESCOPE),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        made[title] = folder / name
    made["tiatoolbox store"] = folder / "a.db"
    write_store(folder / "a.db", wkb_of(CENTRES), {"type": "neoplastic", "prob": 0.75})
    made["ImageJ ROIs"] = folder / "a.zip"
    roi = roifile.ImagejRoi.frompoints(np.array(CORNERS))
    roi.group, roi.name = 3, "0007-0005"
    point = roifile.ImagejRoi.frompoints([[1, 1]])
    point.roitype, point.name = roifile.ROI_TYPE.POINT, "p"
    roifile.roiwrite(folder / "a.zip", [roi, point], mode="w")
    return made
