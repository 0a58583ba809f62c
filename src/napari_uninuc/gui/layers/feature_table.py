"""The features table of the nuclei layer, kept in step without holding up a click."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from qtpy.QtCore import QTimer

from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.core.segmentation import CLASS_BY, CLASS_PROBABILITY, FOUND_COLUMNS
from napari_uninuc.session import AnnotationSession

__all__ = ["FeatureTable"]

_PAUSE_MS = 150
"""The table is made anew once edits pause: 20 ms for ten thousand nuclei, 1 ms for five hundred."""


class FeatureTable:
    """Rows (index, class, status, score, area, detector's box) of all visible nuclei, by index.

    Parameters
    ----------
    session : whose nuclei
    publish : takes the new table; called in the window's thread after edits have paused
    """

    def __init__(self, session: AnnotationSession, publish: Callable[[pd.DataFrame], None]):
        self._session = session
        self._publish = publish
        self._rows: dict[int, tuple[Nucleus, int]] = {}
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self.flush)
        self.touch(session.labels.nuclei)

    def touch(self, ids: Iterable[int]) -> None:
        """Note that these nuclei were added, changed or removed."""
        labels = self._session.labels
        for id_ in ids:
            row = labels.nuclei.get(id_)
            if row is None or not row.visible:
                self._rows.pop(id_, None)
            else:
                self._rows[id_] = (row, labels.area(id_))
        self._timer.start()

    def flush(self) -> None:
        """Publish now."""
        self._timer.stop()
        self._publish(self.frame())

    def frame(self) -> pd.DataFrame:
        """Make the table as it is now."""
        ids = sorted(self._rows)
        rows = [self._rows[id_][0] for id_ in ids]
        names = self._session.classes
        classes = [self._session.class_of(row) for row in rows]
        sure = np.array([likely for _, likely in classes], dtype=np.float64)
        derived = {}
        if self._session.derived:
            by = pd.Series([self._session.class_by(row) for row in rows], dtype=object)
            derived = {CLASS_PROBABILITY: sure, CLASS_BY: by}
        nowhere = (np.nan,) * len(FOUND_COLUMNS)
        boxes = np.array([row.detected_box_yxyx or nowhere for row in rows], dtype=np.float64)
        found = dict(zip(FOUND_COLUMNS, boxes.reshape(-1, len(nowhere)).T, strict=True))
        return pd.DataFrame(
            {
                "index": np.array(ids, dtype=np.int64),
                "class": pd.Series([names.name_of(each) for each, _ in classes], dtype=object),
                **derived,
                "status": pd.Series([str(row.status) for row in rows], dtype=object),
                "score": np.array([row.score for row in rows], dtype=np.float64),
                "area": np.array([self._rows[id_][1] for id_ in ids], dtype=np.int64),
                **found,
            }
        )

    def close(self) -> None:
        """Publish no more."""
        self._timer.stop()
