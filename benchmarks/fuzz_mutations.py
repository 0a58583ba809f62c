"""Ways to spoil the bytes of a file, each decided by a seeded random number generator alone.

What is checked by a sum inside (PNG chunks, journals, gzip) is spoilt beneath the sum as well:
else every case would end at the check.
"""

import copy
import gzip
import io
import json
import random
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from fuzz_bytes import INTEGERS, spoil_bytes

__all__ = ["JUNK", "OUTSIDE", "spoil", "spoil_value"]

OUTSIDE = "../../outside/secret"
"""Where files lie that no reader has any business with, seen from the folder of a case."""

JUNK: tuple[Any, ...] = (
    *(None, True, 0.5, 1e-300, 1e308, -1e308, float("nan"), float("inf"), 10**30, -(10**30)),
    *INTEGERS,
    *("", "x", "NaN", "9" * 30, "\ud800", "\x00", "a\nb", "é" * 300, OUTSIDE, "/etc/passwd", "."),
    *([], [[]], {}, {"a": 1}, [1, 2], [None], [[1, 2], [3, 4], [5, 6]], ["a"] * 50, [0] * 2000),
)
_DEEP = 100_000


def spoil(name: str, data: bytes, rng: random.Random) -> bytes:
    """Spoil the content of a file; what is in it is told by its name.

    Parameters
    ----------
    name : of the file
    data : what a whole file of that name holds
    """
    knows = next((f for pattern, f in _BY_NAME if re.search(pattern, name)), None)
    if knows is not None and rng.random() < 0.7:
        try:
            return knows(data, rng)
        except Exception:  # what was chosen cannot be written in this format
            return spoil_bytes(data, rng)
    return spoil_bytes(data, rng)


def places(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every way to a value inside nested mappings and lists."""
    if so_far:
        yield so_far
    inner = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value) if isinstance(value, list | tuple) else inner:
        yield from places(each, (*so_far, key))


def spoil_value(document: Any, rng: random.Random, junk: tuple[Any, ...] = JUNK) -> Any:
    """Change one to three values of a nested document: swapped, dropped, renamed or doubled."""
    changed = {"": copy.deepcopy(document)}
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(list(places(changed)))
        inner: Any = changed
        for key in way:
            inner = inner[key]
        if isinstance(inner, tuple):
            continue
        kind = rng.random()
        if kind < 0.7:
            inner[last] = copy.deepcopy(rng.choice(junk))
        elif kind < 0.8 and way:
            del inner[last]
        elif kind < 0.9 and isinstance(inner, dict) and way:
            inner[rng.choice(("x", "", OUTSIDE, last))] = inner.pop(last)
        elif isinstance(inner, list):
            inner.extend(inner * rng.choice((1, 100)))
    return changed[""]


def _json(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return _nested(data, rng, b"[", b"]")
    return json.dumps(spoil_value(json.loads(data), rng)).encode("utf-8", "surrogatepass")


def _nested(data: bytes, rng: random.Random, opening: bytes, closing: bytes) -> bytes:
    """Put brackets in brackets around a number of the text."""
    spot = rng.choice(list(re.finditer(rb"\d+", data)) or [re.search(rb"$", data)])
    depth = rng.choice((900, 5_000, _DEEP))
    inner = opening * depth + b"1" + closing * (depth if rng.random() < 0.5 else 0)
    return data[: spot.start()] + inner + data[spot.end() :]


def _toml(data: bytes, rng: random.Random) -> bytes:
    import tomllib

    import tomli_w

    if rng.random() < 0.15:
        return _nested(data, rng, b"[", b"]")
    if rng.random() < 0.1:
        return b"[" + b"a." * rng.choice((900, _DEEP)) + b"a]\n" + data
    values = spoil_value(tomllib.loads(data.decode("utf-8")), rng)
    return tomli_w.dumps(values).encode("utf-8", "surrogatepass")


def _gzip(data: bytes, rng: random.Random) -> bytes:
    return gzip.compress(_json(gzip.decompress(data), rng), 1)


def _png(data: bytes, rng: random.Random) -> bytes:
    """Change, drop, double or swap chunks; their check values are right again."""
    chunks, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    k = 0 if rng.random() < 0.4 else rng.randrange(len(chunks))
    kind, body = chunks[k]
    way = rng.random()
    if kind == b"IHDR" and way < 0.7:
        sizes = [rng.choice((*struct.unpack(">II", body[:8]), *INTEGERS)) for _ in "wh"]
        body = struct.pack(">II", *(size % 2**32 for size in sizes)) + body[8:]
        chunks[k] = (
            kind,
            body if way < 0.5 else body[:8] + bytes(rng.randrange(17) for _ in body[8:]),
        )
    elif kind == b"IDAT" and way < 0.6:
        chunks[k] = kind, zlib.compress(spoil_bytes(zlib.decompress(body), rng))
    elif way < 0.8:
        chunks[k] = kind, spoil_bytes(body, rng)
    else:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    sums = (
        struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks
    )
    return data[:8] + b"".join(sums)


def _tiff(data: bytes, rng: random.Random) -> bytes:
    """Change an entry of a directory: its tag, type, count or value; or the text of OME."""
    if b"<OME" in data and rng.random() < 0.4:
        return _ome(data, rng)
    changed, (at,) = bytearray(data), struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[at : at + 2])
    for _ in range(rng.randint(1, 2)):
        entry = at + 2 + 12 * rng.randrange(count)
        field = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I"), (8, "<I")))
        near = (*INTEGERS, 3, 5, 7, 8, 32_773, 34_712, 50_000, entry, len(data) - 1)
        value = rng.choice(near) % 2 ** (8 * struct.calcsize(field[1]))
        struct.pack_into(field[1], changed, entry + field[0], value)
    return bytes(changed)


def _ome(data: bytes, rng: random.Random) -> bytes:
    """Change the XML of a TIFF: another value of an attribute, or entities that grow."""
    begin, end = data.index(b"<OME"), data.index(b"</OME>") + 6
    text = data[begin:end].decode("utf-8")
    found = list(re.finditer(r'(\w+)="([^"]*)"', text))
    spot = rng.choice(found)
    value = rng.choice(("0", "-1", "30000", "2147483648", "NaN", "9" * 30, "XYCZT", "", "&b;"))
    text = text[: spot.start(2)] + value + text[spot.end(2) :]
    if rng.random() < 0.3:
        lines = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))
        text = f'<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">{lines}]>{text}'.replace(
            "</OME>", "&i;</OME>"
        )
    if rng.random() < 0.3:
        file = f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{OUTSIDE}.tif">urn:uuid:1</UUID>'
        text = re.sub(r"<TiffData[^>]*/>", f"{file}</TiffData>", text)
    spoilt = text.encode()
    moved = data + b"\x00" + spoilt + b"\x00"  # at the end, where it may be of any length
    (at,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[at : at + 2])
    changed = bytearray(moved)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == 270:
            struct.pack_into("<II", changed, entry + 4, len(spoilt) + 1, len(data) + 1)
    return bytes(changed)


def _journal(data: bytes, rng: random.Random) -> bytes:
    """Change the records of a journal or snapshot; their check values are right again."""
    from napari_uninuc.journal.framing import JournalReader, JournalWriter

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").write_bytes(data)
        reader = JournalReader(Path(folder) / "a")
        records = list(reader.records())
        if not records:
            return spoil_bytes(data, rng)
        k = rng.randrange(len(records))
        records[k] = _record(records[k], rng)
        if rng.random() < 0.2:
            records.insert(rng.randrange(len(records)), rng.choice(records))
        writer = JournalWriter(Path(folder) / "b", reader.carries_on_from or bytes(8))
        for record in records:
            writer.append(record)
        writer.close()
        return (Path(folder) / "b").read_bytes()


def _record(record: bytes, rng: random.Random) -> bytes:
    if record[:1] == b"{":  # the head of a snapshot
        return _json(record, rng)
    kind = b"" if record[:1] == b"x" else record[:1]  # "x" is how zlib begins
    raw = zlib.decompress(record[len(kind) :])
    if not kind:
        return zlib.compress(spoil_bytes(raw, rng))
    if rng.random() < 0.1:
        return kind + zlib.compress(raw[:4] + b" " * 2**24 + raw[4:])
    size = int.from_bytes(raw[:4], "little")
    head, rest = raw[4 : 4 + size], raw[4 + size :]
    if rng.random() < 0.5:
        head = _json(head, rng)
    else:
        rest = spoil_bytes(rest, rng)
    return kind + zlib.compress(len(head).to_bytes(4, "little") + head + rest)


def _safetensors(data: bytes, rng: random.Random) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    head = _json(data[8 : 8 + size], rng)
    return struct.pack("<Q", len(head)) + head + data[8 + size :]


def _torch(data: bytes, rng: random.Random) -> bytes:
    """Save a checkpoint again with other values in it."""
    import torch

    tensors = (torch.zeros(0), torch.zeros(3, 5), torch.full((4,), torch.nan), torch.ones(1).long())
    sparse = (torch.zeros(1).expand(30_000, 30_000), torch.zeros(2, 2).to_sparse())
    stored = torch.load(io.BytesIO(data), weights_only=True)
    stream = io.BytesIO()
    torch.save(spoil_value(stored, rng, (*JUNK, *tensors, *tensors, *sparse)), stream)
    return stream.getvalue()


def _xml(data: bytes, rng: random.Random) -> bytes:
    """Change the value of an attribute, or add a document type whose entities grow."""
    text = data.decode("utf-8")
    spot = rng.choice(list(re.finditer(r'(\w+)="([^"]*)"', text)))
    value = rng.choice(("-1", "NaN", "1e30", "9" * 30, "", "x", "&b;", "1e9"))
    text = text[: spot.start(2)] + value + text[spot.end(2) :]
    if rng.random() < 0.3:
        lines = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))
        kind = f'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">{lines}]>'
        text = re.sub(r"(<\?xml[^>]*\?>)", lambda found: found[0] + kind, text, count=1)
    return text.encode()


def _zip(data: bytes, rng: random.Random) -> bytes:
    """Spoil a member beneath its check value."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members, comment = [(n, archive.read(n)) for n in archive.namelist()], archive.comment
    k = rng.randrange(len(members))
    members[k] = members[k][0], spoil_bytes(members[k][1], rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = spoil_bytes(comment, rng)[:1000] if rng.random() < 0.3 else comment
    return stream.getvalue()


_BY_NAME: tuple[tuple[str, Callable[[bytes, random.Random], bytes]], ...] = (
    (r"\.gz$", _gzip),
    (r"\.xml$", _xml),
    (r"\.zip$", _zip),
    (r"(json|\.zattrs|\.zarray|\.zgroup)$", _json),
    (r"\.toml$", _toml),
    (r"\.png$", _png),
    (r"\.tif$", _tiff),
    (r"^(journal|snapshot)-", _journal),
    (r"\.safetensors$", _safetensors),
    (r"\.pt$", _torch),
)
