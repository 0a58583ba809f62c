"""``uninuc doctor``: one page to paste into a bug report."""

import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import click

from napari_uninuc import __version__
from napari_uninuc.cli.messages import one_line
from napari_uninuc.cli.outputs import require_place
from napari_uninuc.errors import UniNucError

_PACKAGES = (
    *("torch", "torchvision", "timm", "sam2", "safetensors", "numpy", "scipy", "scikit-image"),
    *("pandas", "pillow", "tifffile", "imagecodecs", "zarr", "pydantic", "click"),
    *("starlette", "uvicorn", "httpx"),
    *("napari", "npe2", "qtpy", "PyQt6", "PySide6"),
)

_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "QT_API", "QT_QPA_PLATFORM", "CUDA_VISIBLE_DEVICES")

Row = tuple[str, str]


@click.command(short_help="Print what works on this machine.")
def doctor() -> None:
    """Print versions, devices, models, folders and the state of napari and Qt.

    \b
    Examples:
      uninuc doctor
      uninuc doctor > report.txt
    """
    sections: tuple[tuple[str, Callable[[], list[Row]]], ...] = (
        ("system", _system),
        ("packages", _packages),
        ("devices", _devices),
        ("models", _models),
        ("folders", _folders),
        ("slides", _slides),
        ("napari", _napari),
    )
    click.echo("uninuc doctor: paste all of this into a bug report")
    for title, examine in sections:
        click.echo(f"\n{title}")
        for name, text in _examined(examine):
            click.echo(f"  {name:14}  {text}".rstrip())


def _examined(examine: Callable[[], list[Row]]) -> list[Row]:
    """Examine one section; what is broken in it is its finding, and hides no other section."""
    try:
        return examine()
    except Exception as problem:  # a broken installation raises anything, and that is the news
        return [("problem", f"{type(problem).__name__}: {one_line(str(problem))}")]


def _system() -> list[Row]:
    variables = [(name, os.environ[name]) for name in _VARIABLES if name in os.environ]
    return [
        ("napari-uninuc", __version__),
        ("python", f"{platform.python_version()} {platform.python_implementation()}"),
        ("executable", sys.executable),
        ("platform", platform.platform()),
        *variables,
    ]


def _packages() -> list[Row]:
    return [(name, _version(name)) for name in _PACKAGES]


def _computes_here() -> bool:
    """Whether this is more than the window alone, which `pip install ./client` brings."""
    return find_spec("torch") is not None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> list[Row]:
    if not _computes_here():
        return [("none", "torch is not installed; models compute on a server: docs/serve.md")]
    import torch

    from napari_uninuc.engine.device import choose_device, encoder_dtype

    rows = [("cpu", f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} threads")]
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB"))
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        rows.append(("cuda", f"none ({built})"))
    if torch.backends.mps.is_available():
        rows.append(("mps", "available"))
    chosen = choose_device("auto")
    precision = str(encoder_dtype(chosen)).removeprefix("torch.")
    return [*rows, ("auto", f"{chosen}, encoder in {precision}")]


def _slides() -> list[Row]:
    """What some slides, and more than one process, cannot do without."""
    return [("openslide", _openslide()), ("distributed", _distributed())]


def _openslide() -> str:
    try:
        import openslide
    except (ImportError, OSError) as problem:  # without the package, or without its library
        reason = one_line(str(problem))
        return f"none; MRXS, DICOM, CZI need: pip install 'napari-uninuc[slides]' ({reason})"
    return f"{openslide.__version__}, library {openslide.__library_version__}"


def _distributed() -> str:
    try:
        import distributed
    except ImportError:
        return "none; --workers and --scheduler need: pip install 'napari-uninuc[cluster]'"
    return str(distributed.__version__)


def _napari() -> list[Row]:
    from napari_uninuc.gui.window.check import probe_window

    state = probe_window()
    rows = [
        ("import", state.napari or "no"),
        ("plugin", state.plugin or "not checked"),
        ("Qt", state.qt or "none"),
        ("window", "opens" if state.window else "does not open"),
    ]
    return rows + ([("problem", state.problem)] if state.problem else [])


def _models() -> list[Row]:
    from napari_uninuc.network.registry import model_folders, verify

    rows: list[Row] = []
    for model_id, folder in model_folders().items():
        try:
            state = f"sha256 {verify(folder)[:12]} matches its card"
        except UniNucError as problem:
            state = one_line(str(problem))
        rows += [(model_id, str(folder)), ("", state)]
    elsewhere = "" if _computes_here() else "; a server has them"
    return rows or [("none", f"no model folder found{elsewhere}")]


def _folders() -> list[Row]:
    return [*_models_folder(), *([_embeddings_folder()] if _computes_here() else [])]


def _embeddings_folder() -> Row:
    """Where embeddings of pictures are kept, and how much of them."""
    from napari_uninuc.engine.embedding_store import default_store

    store = default_store()
    if store is None:
        return "embeddings", "not kept on disk (UNINUC_EMBEDDINGS_GB=0)"
    state = store.state()
    held = f"{state.count} of {state.nbytes / 1e9:.2f} GB, at most {state.limit_bytes / 1e9:.2f} GB"
    return "embeddings", f"{state.folder}, {held}"


def _models_folder() -> list[Row]:
    from napari_uninuc.network.registry import user_models

    folder = user_models()
    try:
        require_place(folder / "model.safetensors")
    except UniNucError as problem:
        return [("models", one_line(str(problem)))]
    return [("models", f"{folder}, writable")]
