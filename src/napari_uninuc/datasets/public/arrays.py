"""Arrays on disk: NumPy files, MATLAB files, pictures and label pictures."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, sparse

from napari_uninuc.errors import DatasetError
from napari_uninuc.io.images import read_image
from napari_uninuc.io.labels import checked_ids, read_labels
from napari_uninuc.io.sources import DECODING_ERRORS, require_file

__all__ = ["as_labels", "pieces", "read_mat", "read_npy", "read_picture", "read_picture_labels"]


def read_npy(path: Path, *, mapped: bool = False) -> np.ndarray[Any, Any]:
    """Read a NumPy file.

    Parameters
    ----------
    mapped : leave it on disk until it is indexed

    Returns
    -------
    array : shape and dtype as stored

    Raises
    ------
    DatasetError
        Missing, cut short, or no array of numbers or text (nothing pickled is loaded).
    """
    require_file(path, DatasetError)
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except DECODING_ERRORS as error:
        raise _damaged(path, "a NumPy array", error) from error


def read_mat(path: Path, *names: str) -> dict[str, np.ndarray[Any, Any]]:
    """Read arrays of a MATLAB file by name.

    Version 7.3 files are HDF5 and need the package h5py.

    Parameters
    ----------
    names : the first must be in the file; others that are not in it are left out

    Returns
    -------
    arrays : by name; shape and dtype as stored, sparse ones made full

    Raises
    ------
    DatasetError
        Missing, damaged, cut short, without the first of `names`, or 7.3 without h5py.
    """
    from scipy import io as scipy_io
    from scipy.io.matlab import MatReadError

    require_file(path, DatasetError)
    try:
        stored = scipy_io.loadmat(path, variable_names=names)
    except NotImplementedError:
        stored = _read_hdf5(path, names)
    except (*DECODING_ERRORS, MatReadError) as error:
        raise _damaged(path, "a MATLAB file", error) from error
    found = {name: stored[name] for name in names if name in stored}
    if names[0] not in found:
        raise DatasetError(
            f"{path}: expected an array {names[0]!r}, got none; download the data set again"
        )
    if any(sparse.issparse(array) for array in found.values()):
        found = {n: a.toarray() if sparse.issparse(a) else a for n, a in found.items()}
    return found


def _read_hdf5(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise DatasetError(
            f"{path}: a MATLAB 7.3 file needs the package h5py; pip install "
            '"napari-uninuc[matlab]", or save the file as version 7'
        ) from None
    try:
        with h5py.File(path, "r") as file:  # MATLAB writes columns first
            return {name: np.asarray(file[name]).T for name in names if name in file}
    except DECODING_ERRORS as error:
        raise _damaged(path, "a MATLAB file", error) from error


def read_picture(path: Path) -> np.ndarray[Any, Any]:
    """Read a picture as (H, W, 3) uint8; raises ImageError as `read_image` does."""
    return read_image(path).rgb


def read_picture_labels(path: Path) -> np.ndarray[Any, Any]:
    """Read a label picture as (H, W) int32; raises LabelsError as `read_labels` does."""
    return read_labels(path)


def as_labels(path: Path, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn stored ids into labels; raises DatasetError as `checked_ids` says.

    Parameters
    ----------
    path : the file, for the error
    array : (H, W) whole numbers from 0, of any type: MATLAB and stacks store them as floats
    """
    return checked_ids(path, array, DatasetError)


def pieces(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Number the pieces of a yes/no picture, (H, W) int32; diagonal neighbours are two."""
    return ndimage.label(mask)[0].astype(np.int32)


def _damaged(path: Path, what: str, error: BaseException) -> DatasetError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DatasetError(f"{path}: expected {what}, got a damaged one ({reason}); download it again")
