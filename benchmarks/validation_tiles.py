"""The tiles that no model of ours was trained on, for choices; never the test tiles."""

MPP = 0.25
"""Micrometres per px of MoNuSeg and CoNSeP."""

VALIDATION = (
    "TCGA-18-5592-01Z-00-DX1",
    "TCGA-AY-A8YK-01A-01-TS1",
    "TCGA-CH-5767-01Z-00-DX1",
    "TCGA-G9-6336-01Z-00-DX1",
)
"""In ``monuseg/train``."""
