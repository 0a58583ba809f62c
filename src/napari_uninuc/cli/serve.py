"""``uninuc serve``: answer QuPath, and windows at other computers."""

import os
import stat
import string
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import one_line, report_warning
from napari_uninuc.cli.options import (
    PathArgument,
    device_option,
    model_option,
    read_taught,
)

if TYPE_CHECKING:
    from napari_uninuc.engine.annotator import TorchAnnotator
    from napari_uninuc.serve.asking import Service
    from napari_uninuc.serve.offers import Offers

_NEEDED = ("starlette", "uvicorn")
_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_")


@click.command(short_help="Let QuPath and other computers use the model.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Any but this computer's own loopback needs a key.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any."
)
@model_option
@device_option
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    type=PathArgument,
    metavar="FILE",
    help="Classes that were taught in the window and saved there; for the same weights only. May "
    "be given again: clients choose by the file's name, and the first is used where they do not.",
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    type=PathArgument,
    metavar="FILE",
    help="State that was learnt from corrections (uninuc learn); for the same weights only. May be "
    "given again: clients choose by the file's name, and the first is used where they do not.",
)
@click.option(
    "--key-file",
    type=PathArgument,
    metavar="FILE",
    help="File whose first line is the key that clients must send; without it, $UNINUC_KEY.",
)
@click.option("--tls-cert", type=PathArgument, metavar="FILE", help="Certificate, PEM.")
@click.option("--tls-key", type=PathArgument, metavar="FILE", help="Its private key, PEM.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further name this computer is asked for by; may be given again.",
)
def serve(
    host: str,
    port: int,
    model: str,
    device: str,
    classifiers: tuple[Path, ...],
    adapters: tuple[Path, ...],
    key_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    names: tuple[str, ...],
) -> None:
    """Let QuPath's SAM extension, and windows at other computers, use the model.

    Runs until Ctrl+C. Prints the address to type into QuPath.

    \b
    Examples:
      uninuc serve
      uninuc serve --model uninuc-b --device cuda
      uninuc serve --adapter anna.safetensors --adapter ben.safetensors
      uninuc serve --host 0.0.0.0 --key-file key.txt --tls-cert cert.pem --tls-key key.pem
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise click.ClickException(
            f"uninuc serve needs {' and '.join(missing)}: pip install 'napari-uninuc[serve]'"
        )
    from napari_uninuc.serve.guard import is_loopback

    key = _read_key(key_file)
    if key is None and not is_loopback(host):
        raise click.ClickException(
            f"--host {host} can be reached from other computers and needs a key: write 16 or more "
            "letters and digits into a file and pass --key-file FILE, or set UNINUC_KEY"
        )
    tls = _tls_files(tls_cert, tls_key)
    from napari_uninuc.serve.running import check_tls, listen, make_server, open_to_clients

    if tls is not None:
        check_tls(*tls)
    with listen(host, port) as socket:
        from napari_uninuc.engine.annotator import load_annotator
        from napari_uninuc.serve.asking import Service

        annotator = load_annotator(model, device, notice=report_warning)
        service = Service(annotator, _say, _offers_of(classifiers, adapters, annotator))
        try:
            server = make_server(service, host=host, key=key, names=names, tls=tls)
            open_to_clients(socket)
            _introduce(service, host, socket.getsockname()[1], key is not None, tls is not None)
            server.run(sockets=[socket])
        except KeyboardInterrupt:
            pass  # it was asked to stop, and did
        finally:
            service.close()
    click.echo("stopped")


def _offers_of(
    classifiers: tuple[Path, ...], adapters: tuple[Path, ...], annotator: "TorchAnnotator"
) -> "Offers":
    """Read the classifiers and learnt states that clients may use, by the names of their files."""
    from napari_uninuc.network.adapter_card import in_words, read_adapter_card
    from napari_uninuc.serve.offers import LearntOffer, Offer, Offers

    named = {
        name: Offer(read_taught(path, annotator.card), path.read_bytes())
        for name, path in _by_name(classifiers, "a classifier").items()
    }
    learnt = {
        name: LearntOffer(annotator.beside(path), in_words(read_adapter_card(path).proof))
        for name, path in _by_name(adapters, "a learnt state").items()
    }
    return Offers(named, learnt)


def _by_name(paths: tuple[Path, ...], what: str) -> dict[str, Path]:
    from napari_uninuc.serve.offers import is_name

    named: dict[str, Path] = {}
    for path in paths:
        if not is_name(path.stem) or path.stem in named:
            raise click.ClickException(
                f"{path}: clients name {what} by its file, in up to 64 letters, digits, '.', '-' "
                "and '_', each name once; rename the file"
            )
        named[path.stem] = path
    return named


def _say(text: str) -> None:
    """Print a line with the time: standard error, as a log is."""
    click.echo(f"{datetime.now():%H:%M:%S} {one_line(text)}", err=True)


def _introduce(service: "Service", host: str, port: int, keyed: bool, encrypted: bool) -> None:
    """Print what runs, and what to type where."""
    from napari_uninuc.serve.guard import is_loopback

    local = is_loopback(host)
    name = host if host not in ("0.0.0.0", "::") else "THIS-COMPUTER"
    base = f"http{'s' if encrypted else ''}://{f'[{name}]' if ':' in name else name}:{port}"
    prefix = "/key/YOUR-KEY" if keyed else ""
    card = service.engine.card
    lines = [
        f"{card.id} on {service.engine.device_name}; licence: {card.licence}",
        f"Type into QuPath (Extensions > SAM, Server):  {base}{prefix}/sam/",
        f"with the size of a pixel, at full zoom 0.25:  {base}{prefix}/0.25um/sam/",
        f"into napari (Model, On a server):             {base}",
    ]
    if service.offers.learnt:
        first, *others = service.offers.learnt
        lines.append(
            f"Where nobody chooses, {card.id} answers in the learnt state {first}; to choose from: "
            f"{', '.join([*others, 'as it came'])}"
        )
    if not encrypted and not local:
        lines.append("Traffic is not encrypted: pictures and key can be read on the way.")
    for line in [*lines, "Ctrl+C stops."]:
        click.echo(line)


def _read_key(path: Path | None) -> str | None:
    """Read the key from a file or the environment; None where there is none."""
    from napari_uninuc.wire.constants import KEY_LENGTH, KEY_VARIABLE

    if path is None:
        key, place = os.environ.get(KEY_VARIABLE, "").strip(), f"${KEY_VARIABLE}"
        if not key:
            return None
    else:
        try:
            key = path.read_text(encoding="utf-8").partition("\n")[0].strip()
        except UnicodeDecodeError:
            raise click.ClickException(f"{path}: expected one line of text, got other") from None
        place = str(path)
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            report_warning(f"{path} can be read by other users; chmod 600 it")
    least, most = KEY_LENGTH
    if not least <= len(key) <= most or not set(key) <= _KEY_CHARACTERS:
        raise click.ClickException(
            f"{place}: a key is {least} to {most} letters, digits, - and _, got something else "
            f"({len(key)} characters); write another"
        )
    return key


def _tls_files(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.ClickException("--tls-cert and --tls-key belong together; pass both")
    for path in (certificate, key):
        if not path.is_file():
            raise click.ClickException(f"{path}: expected a PEM file, got nothing there")
    return certificate, key
