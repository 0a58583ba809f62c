"""The domain: tiles, boxes, detections, instances and segmentations. No torch, Qt or files."""
