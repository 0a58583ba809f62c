"""Tiny public data sets in their exact layouts: two or more pictures of 24 x 32 px each.

Every picture has the nuclei of `LABELS`: a block of 6 x 6 px and one of 4 x 8 px.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import io as scipy_io

SHAPE = (24, 32)
LABELS = np.zeros(SHAPE, dtype=np.int32)
LABELS[2:8, 3:9] = 1
LABELS[12:16, 20:28] = 2
BOXES_XY = ((3, 2, 9, 8), (20, 12, 28, 16))
RGB = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def picture(path: Path, pixels: np.ndarray = RGB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def array(path: Path, stored: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, stored)


def mat(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, arrays)


def imagescope(path: Path, names: tuple[str, ...] = ("",)) -> None:
    """One layer a name; the nuclei are dealt out in turn, and the last layer gets a stray click."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers: list[list[str]] = [[] for _ in names]
    for k, (x0, y0, x1, y1) in enumerate(BOXES_XY):
        ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        layers[k % len(names)].append(_region(ring))
    layers[-1].append(_region([(1, 1), (2, 2)]))
    text = "".join(
        f'<Annotation><Attributes><Attribute Name="{name}"/></Attributes>'
        f"<Regions>{''.join(regions)}</Regions></Annotation>"
        for name, regions in zip(names, layers, strict=True)
    )
    path.write_text(f"<Annotations>{text}</Annotations>", encoding="utf-8")


def _region(ring: list[tuple[int, int]]) -> str:
    vertices = "".join(f'<Vertex X="{x}.0" Y="{y}.0" Z="0"/>' for x, y in ring)
    return f"<Region><Vertices>{vertices}</Vertices></Region>"


def write_cpm15(root: Path) -> None:
    for k in range(15):
        picture(root / f"cpm15/Images/image_{k:02d}.png")
        mat(root / f"cpm15/Labels/image_{k:02d}.mat", inst_map=LABELS.astype(float))


def write_cpm17(root: Path) -> None:
    for part in ("train", "test"):
        for k in range(2):
            picture(root / f"cpm17/{part}/Images/image_{k:02d}.png")
            mat(root / f"cpm17/{part}/Labels/image_{k:02d}.mat", inst_map=LABELS)


def write_consep(root: Path) -> None:
    kinds = np.where(LABELS == 1, 4, np.where(LABELS == 2, 6, 0))
    kinds[2, 3] = 2  # one pixel of the first nucleus is called otherwise
    rgba = np.dstack([RGB, np.full(SHAPE, 255, np.uint8)])
    for part, count in (("Train", 5), ("Test", 2)):
        for k in range(1, count + 1):
            name = f"{part.lower()}_{k}"
            picture(root / f"CoNSeP/{part}/Images/{name}.png", rgba)
            mat(root / f"CoNSeP/{part}/Labels/{name}.mat", inst_map=LABELS, type_map=kinds)


def write_cryonuseg(root: Path) -> None:
    for k in range(5):
        picture(root / f"tissue images/Human_Larynx_{k:02d}.tif")
        folder = root / "Annotator 1 (biologist)/label masks modify"
        picture(folder / f"Human_Larynx_{k:02d}.tif", LABELS.astype(np.uint16))


def write_lizard(root: Path) -> None:
    rows = ["Filename,Source,Split"]
    for k, part in enumerate((1, 2, 2)):
        picture(root / f"lizard_images{part}/Lizard_Images{part}/dpath_{k}.png")
        labels = root / "lizard_labels/Lizard_Labels"
        ids, classes = np.array([[2], [1]]), np.array([[6], [1]])
        mat(labels / f"Labels/dpath_{k}.mat", inst_map=LABELS, id=ids, **{"class": classes})
        rows.append(f"dpath_{k},dpath,{k + 1}")
    (labels / "info.csv").write_text("\n".join(rows), encoding="utf-8")


def write_lynsec(root: Path) -> None:
    stored = np.dstack([RGB.astype(np.int32), LABELS, LABELS > 0])
    for folder, names in (("lynsec 1", ("0_l1", "1_l1")), ("lynsec 2", ("34_l2", "35_l2"))):
        for name in names:
            array(root / f"{folder}/{name}.npy", stored)


def write_monusac(root: Path) -> None:
    for part, names in (
        ("MoNuSAC_images_and_annotations", ("Epithelial", "Lymphocyte")),
        ("MoNuSAC Testing Data and Annotations", ("Neutrophil", "Ambiguous")),
    ):
        picture(root / part / "TCGA-5P-A9K0-01Z-00-DX1" / "TCGA-5P-A9K0-01Z-00-DX1_1.tif")
        imagescope(root / part / "TCGA-5P-A9K0-01Z-00-DX1" / "TCGA-5P-A9K0-01Z-00-DX1_1.xml", names)


def write_monuseg(root: Path) -> None:
    train, test = root / "MoNuSeg 2018 Training Data", root / "MoNuSegTestData"
    for k in range(2):
        picture(train / f"Tissue Images/TCGA-{k}.tif")
        imagescope(train / f"Annotations/TCGA-{k}.xml")
        picture(test / f"TCGA-T{k}.tif")
        imagescope(test / f"TCGA-T{k}.xml")


def write_nuclick(root: Path) -> None:
    for part in ("Train", "Validation"):
        picture(root / f"IHC_nuclick/IHC/images/{part}/ROI_1_0.png")
        array(root / f"IHC_nuclick/IHC/masks/{part}/ROI_1_0.npy", LABELS.astype(np.uint8))


def write_nuinsseg(root: Path) -> None:
    for tissue in ("human bladder", "mouse liver"):
        name = f"{tissue.replace(' ', '_')}_01"
        picture(root / tissue / "tissue images" / f"{name}.png")
        picture(root / tissue / "label masks modify" / f"{name}.tif", LABELS.astype(np.uint16))


def write_pannuke(root: Path) -> None:
    masks = np.zeros((2, *SHAPE, 6))
    masks[:, :, :, 0] = np.where(LABELS == 1, 7, 0)  # ids count over the whole fold
    masks[:, :, :, 4] = np.where(LABELS == 2, 9, 0)
    masks[:, :, :, 5] = LABELS == 0
    for fold in (1, 2, 3):
        pictures = root / f"Fold {fold}/images/fold{fold}"
        array(pictures / "images.npy", np.stack([RGB, RGB]).astype(float))
        array(pictures / "types.npy", np.array(["Breast", "Bile-duct"]))
        array(root / f"Fold {fold}/masks/fold{fold}/masks.npy", masks)


def write_puma(root: Path) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
            },
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for (x0, y0, x1, y1), name in zip(
            BOXES_XY, ("nuclei_tumor", "nuclei_plasma_cell"), strict=True
        )
    ]
    rgba = np.dstack([RGB, np.full(SHAPE, 255, np.uint8)])
    folder = root / "01_training_dataset_geojson_nuclei"
    folder.mkdir(parents=True)
    for site in ("primary", "metastatic"):
        for k in range(1, 5):
            name = f"training_set_{site}_roi_{k:03d}"
            path = root / f"01_training_dataset_tif_ROIs/{name}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
            (folder / f"{name}_nuclei.geojson").write_text(
                json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8"
            )


def write_tnbc(root: Path) -> None:
    for patient in range(1, 6):
        for k in (1, 2):
            name = f"{patient:02d}_{k}.png"
            picture(root / f"TNBC_NucleiSegmentation/Slide_{patient:02d}/{name}")
            mask = np.where(LABELS > 0, 255, 0).astype(np.uint8)
            picture(root / f"TNBC_NucleiSegmentation/GT_{patient:02d}/{name}", mask)


WRITERS = {
    "cpm15": write_cpm15,
    "cpm17": write_cpm17,
    "consep": write_consep,
    "consep-7": write_consep,
    "cryonuseg": write_cryonuseg,
    "lizard": write_lizard,
    "lynsec-he": write_lynsec,
    "lynsec-ihc": write_lynsec,
    "monusac": write_monusac,
    "monuseg": write_monuseg,
    "nuclick": write_nuclick,
    "nuinsseg": write_nuinsseg,
    "pannuke": write_pannuke,
    "puma": write_puma,
    "tnbc": write_tnbc,
}
