"""Where results go, settled before anything slow begins."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from napari_uninuc.errors import OutputError

__all__ = ["plan_outputs", "require_kept", "require_place"]


def plan_outputs(
    sources: Sequence[Path],
    output: Path,
    suffix: str | None,
    also_read: Sequence[Path | None] = (),
) -> list[tuple[Path, Path]]:
    """Name the result of every source and make sure that it can be written.

    Parameters
    ----------
    sources : files to read, at least one; need not exist
    output : the result's path for one source; a folder for several, or where `suffix` is given
    suffix : format of results in a folder; None is ``.tif``
    also_read : what else is read, such as the picture that labels belong to; None is nothing

    Returns
    -------
    pairs : (source, target) in the order given

    Raises
    ------
    OutputError
        Unknown suffix, two results of one name, a result in the place of what is read, or a
        place that cannot be written.
    """
    targets = _targets(sources, output, suffix)
    _require_distinct(sources, targets)
    require_kept([*sources, *also_read], targets)
    for target in targets:
        require_place(target)
    return list(zip(sources, targets, strict=True))


def require_place(target: Path) -> None:
    """Raise OutputError unless `target` can be written; makes nothing that stays.

    A folder is written where the name ends in ``.zarr``, else a file.
    """
    is_folder = target.name.lower().endswith(".zarr")
    if target.exists() and target.is_dir() != is_folder:
        kinds = ("a folder", "a file") if is_folder else ("a file", "a folder")
        raise OutputError(f"{target}: {kinds[0]} is written here, got {kinds[1]}; name another")
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        # Permission bits say nothing about read-only disks, and nothing to root: try it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise OutputError(
            f"{target}: cannot be written ({problem.strerror}: {folder}); "
            "choose a place where you may write"
        ) from problem


def require_kept(read: Sequence[Path | None], targets: Sequence[Path]) -> None:
    """Raise OutputError where a target would take the place of what is read, or go into it.

    Parameters
    ----------
    read : files and folders; None is nothing
    targets : what is written
    """
    places = {each.resolve(): each for each in read if each is not None}
    for target in targets:
        place = target.resolve()
        if place in places:
            raise OutputError(
                f"{target}: would replace {places[place]}, which is read; name another path"
            )
        if above := next((each for each in place.parents if each in places), None):
            raise OutputError(
                f"{target}: would be written into {places[above]}, which is read; name a place "
                "outside it"
            )


def _targets(sources: Sequence[Path], output: Path, suffix: str | None) -> list[Path]:
    from napari_uninuc.io.formats import FORMATS, suffix_of

    is_named = any(output.name.lower().endswith(known) for known in FORMATS)
    if len(sources) == 1 and (suffix is None or (is_named and suffix_of(output) == suffix)):
        if not is_named and output.is_dir():
            raise OutputError(
                f"{output}: one picture is written to a file, got a folder; "
                f"write {output / 'nuclei.tif'}, or with the ending of another format"
            )
        suffix_of(output)
        return [output]
    if is_named and not output.is_dir():
        raise OutputError(
            f"{output}: expected a folder for {len(sources)} images, got the name of one file; "
            "name a folder, and the format by --format"
        )
    return [output / f"{_stem(source)}{suffix or '.tif'}" for source in sources]


def _stem(source: Path) -> str:
    """Cut the suffix off, both parts of a double one: a.ome.tif is a."""
    stem = Path(source.name).stem
    return stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem


def _require_distinct(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        key = target.name.casefold()  # many disks do not tell cases apart
        if key in first:
            raise OutputError(
                f"{source} and {first[key]} would both be written to {target}; "
                "rename one, or run them apart"
            )
        first[key] = source
