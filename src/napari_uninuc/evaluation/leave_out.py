"""Leave one data set out: how a model does on tissue of a set that it has never seen.

A folder of recipes holds ``train-all.toml``, one ``train-without-NAME.toml`` for each set left out,
and ``test.toml``, an evaluation recipe whose data sets ``NAME-test`` no run is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.compare import ComparisonRow, compare_reports
from napari_uninuc.evaluation.recipe import EvaluationRecipe

ALL = "all"
_PREFIX, _WITHOUT, _TEST = "train-", "without-", "test.toml"
_SHOWN = {
    ("automatic", 0, "msa"): "automatic mSA",
    ("box", 0, "msa"): "box I0 mSA",
    ("point", 0, "msa"): "point I0 mSA",
}
"""Protocol, corrections and metric of a comparison: heading in the table."""


@dataclass(frozen=True, slots=True)
class LeaveOutRun:
    """One training run of a folder.

    Attributes
    ----------
    left_out : name of the set it does not see; `ALL` where it sees every one
    recipe : path of its training recipe
    """

    left_out: str
    recipe: Path


def read_runs(folder: Path) -> tuple[list[LeaveOutRun], Path]:
    """Find a folder's runs, the one that sees everything first, and its ``test.toml``.

    Raises
    ------
    RecipeError
        One of both is not there.
    """
    files = {path.stem.removeprefix(_PREFIX): path for path in folder.glob(f"{_PREFIX}*.toml")}
    test = folder / _TEST
    if ALL not in files or not test.is_file():
        raise RecipeError(
            f"{folder}: expected {_PREFIX}{ALL}.toml, {_PREFIX}{_WITHOUT}NAME.toml and {_TEST}, "
            f"got {', '.join(sorted(path.name for path in folder.glob('*.toml'))) or 'none'}; "
            "name a folder of such recipes"
        )
    names = sorted(name for name in files if name.startswith(_WITHOUT))
    others = [LeaveOutRun(name.removeprefix(_WITHOUT), files[name]) for name in names]
    return [LeaveOutRun(ALL, files[ALL]), *others], test


def recipe_for(test: EvaluationRecipe, left_out: str, run: Path) -> EvaluationRecipe:
    """What one run is tested on: all sets, or only the one that it has not seen.

    Parameters
    ----------
    test : the folder's test recipe
    left_out : as in `LeaveOutRun`
    run : folder of the training run

    Raises
    ------
    RecipeError
        ``test`` has no data set of that name.
    """
    tested, judged = test.datasets, test.validation
    if left_out != ALL:
        tested = tuple(spec for spec in tested if _belongs(spec, left_out))
        judged = tuple(spec for spec in judged if not _belongs(spec, left_out))
    if not tested:
        names = ", ".join(spec.name for spec in test.datasets)
        raise RecipeError(
            f"{_TEST}: expected a data set {left_out}-test, got {names}; add or rename it"
        )
    automatic = any(spec.exhaustive for spec in tested)
    return test.model_copy(
        update={
            "datasets": tested,
            "validation": judged if automatic else (),
            "automatic": automatic,
            "model": str(run / "model"),
            "output": run / "evaluation",
        }
    )


def _belongs(spec: DatasetSpec, name: str) -> bool:
    return spec.name == name or spec.name.startswith(f"{name}-")


def compare_runs(seen: Path, unseen: Sequence[tuple[str, Path]]) -> list[ComparisonRow]:
    """Set each run beside the one that saw everything, on the set it has not seen.

    Parameters
    ----------
    seen : report.json of the run that saw everything
    unseen : name of the set left out, and report.json of that run

    Returns
    -------
    rows : `first` has seen the set, `second` has not; in the order given

    Raises
    ------
    DatasetError
        A file that is not a report.
    """
    rows = []
    for name, report in unseen:
        for row in compare_reports(seen, report):
            mine = row.dataset.startswith(f"{name}-") or row.dataset == name
            if mine and (row.prompt, row.iteration, row.metric) in _SHOWN:
                rows.append(row)
    return rows


def to_markdown(rows: Sequence[ComparisonRow]) -> str:
    """Lay the comparison out as a Markdown table."""
    header = (
        *("test tiles", "score", "tiles", "never seen", "seen"),
        *("difference [95 % over tiles]", "p"),
    )
    cells = [
        (
            *(row.dataset, _SHOWN[row.prompt, row.iteration, row.metric], str(row.n_images)),
            *(f"{row.second:.4f}", f"{row.first:.4f}"),
            f"{row.difference:+.4f} [{row.low:+.4f}, {row.high:+.4f}]",
            f"{row.p:.2g}",
        )
        for row in rows
    ]
    lines = ["| " + " | ".join(line) + " |" for line in (header, *cells)]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines) + "\n"


def as_values(rows: Sequence[ComparisonRow]) -> list[dict[str, object]]:
    """The same rows for JSON."""
    return [asdict(row) for row in rows]
