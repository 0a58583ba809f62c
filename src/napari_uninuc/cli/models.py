"""``uninuc models``: what is here, what it may be used for, and official weights made ours."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_error
from napari_uninuc.cli.options import PathArgument
from napari_uninuc.errors import CheckpointError

if TYPE_CHECKING:
    from napari_uninuc.network.registry import ModelFiles


@click.group(short_help="List, check, get and convert models.", invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List, check and get models, and convert SAM 2.1 checkpoints.

    \b
    Examples:
      uninuc models
      uninuc models show uninuc-n
      uninuc models verify runs/mine/model
      uninuc models convert sam2.1_hiera_small.pt --output models/uninuc-s
    """
    if context.invoked_subcommand is None:
        context.exit(context.invoke(list_))


@models.command("list", short_help="List the models that are here.")
def list_() -> int:
    """List the models that are here, with licence, use, sha256 and folder, and those to fetch."""
    from napari_uninuc.network.card import WEIGHTS_NAME, read_card, use_in_words
    from napari_uninuc.network.registry import NO_WEIGHTS, OFFICIAL_CHECKPOINTS, model_folders

    folders, broken = model_folders(), 0
    for model_id, folder in folders.items():
        try:
            card = read_card(folder)
        except CheckpointError as problem:  # one broken card must not hide the others
            report_error(str(problem))
            broken += 1
            continue
        if not (folder / WEIGHTS_NAME).is_file():
            report_error(f"{folder / WEIGHTS_NAME}: {NO_WEIGHTS}")
            broken += 1
            continue
        use = use_in_words(card.commercial_use)
        click.echo(f"{model_id:12}  {card.licence:26}  {use:23}  {card.sha256[:12]:12}  {folder}")
    for model_id in OFFICIAL_CHECKPOINTS:
        if model_id not in folders:
            click.echo(f"{model_id:12}  not here; get it: uninuc models fetch {model_id}")
    return 2 if broken else 0


@models.command(short_help="Show a model's card.")
@click.argument("model", metavar="ID|PATH")
def show(model: str) -> None:
    """Show a model's card: what it was taught, its licence, its measured figures."""
    from napari_uninuc.network.registry import find_model

    _echo_card(find_model(model))


@models.command(short_help="Get official SAM 2.1 weights.")
@click.argument("model", metavar="ID")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=PathArgument,
    help="An official checkpoint that is already on this machine, instead of a download.",
)
@click.option("--sha256", metavar="HEX", help="Of the checkpoint, where you know it.")
def fetch(model: str, source: Path | None, sha256: str | None) -> None:
    """Get official SAM 2.1 weights for uninuc-s, -b or -l into your model folder.

    A download that was cut off goes on where it stopped. Proxies are taken from the environment;
    UNINUC_MIRROR names another base URL, or a folder, to get the checkpoints from.

    \b
    Examples:
      uninuc models fetch uninuc-s
      uninuc models fetch uninuc-b --from sam2.1_hiera_base_plus.pt
    """
    from napari_uninuc.network.registry import fetch as fetch_model

    with progress_bar(f"fetching {model}", "B") as progress:
        files = fetch_model(model, source, sha256=sha256, progress=progress)
    _echo_card(files)


@models.command(short_help="Check weights against their card.")
@click.argument("model", metavar="ID|PATH")
def verify(model: str) -> None:
    """Check a model's weights against the sha256 on its card."""
    from napari_uninuc.network.registry import verify as verify_model

    digest = verify_model(model)
    click.echo(f"{model}: weights are those of the card, sha256 {digest}")


@models.command(short_help="Turn a SAM 2.1 checkpoint into a model folder.")
@click.argument("checkpoint", metavar="CHECKPOINT", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=PathArgument,
    help="Model folder to write.",
)
@click.option(
    "--architecture",
    metavar="ID",
    help="uninuc-s, uninuc-b or uninuc-l, or an ablation (uninuc-b-single, uninuc-b-plain).  "
    "[default: as the checkpoint's shapes tell]",
)
@click.option(
    "--detector-weights",
    metavar="FILE",
    type=PathArgument,
    help="timm ConvNeXt weights for the detector's backbone (.safetensors, .pth).",
)
def convert(
    checkpoint: Path, output: Path, architecture: str | None, detector_weights: Path | None
) -> None:
    """Convert an official SAM 2.1 image checkpoint (.pt) into a model folder.

    \b
    Example:
      uninuc models convert sam2.1_hiera_small.pt --output my-models/uninuc-s
    """
    from napari_uninuc.network.sam2_checkpoint import convert_sam2

    card = convert_sam2(checkpoint, architecture, output, detector_weights=detector_weights)
    click.echo(f"{checkpoint} -> {output}: {card.id}, sha256 {card.sha256}")


def _echo_card(files: "ModelFiles") -> None:
    from napari_uninuc.network.card import card_path

    click.echo(f"# {files.weights_path}")
    click.echo(card_path(files.weights_path).read_text(encoding="utf-8"), nl=False)
