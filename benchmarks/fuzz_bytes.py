"""Ways to spoil bytes of which nothing is known."""

import random
import re
import struct

__all__ = ["INTEGERS", "spoil_bytes"]

INTEGERS = (0, 1, -1, 255, 29_999, 30_000, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """Spoil bytes in one to four ways."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(_BYTE_WAYS)(bytearray(data), rng)
    return data


def _flip(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 3, 20))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def _remove(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    return bytes(data[:at] + data[at + rng.randrange(1, 64) :])


def _splice(data: bytearray, rng: random.Random) -> bytes:
    begin, at = _place(data, rng), _place(data, rng)
    return bytes(data[:at] + data[begin : begin + rng.randrange(1, 256)] + data[at:])


def _repeat(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    block = data[at : at + rng.randrange(1, 64)]
    return bytes(data[:at] + block * rng.choice((2, 16, 1000)) + data[at:])


def _overwrite_number(data: bytearray, rng: random.Random) -> bytes:
    """Put an extreme number where a length, a size or an offset may stand."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    at = _place(data, rng)
    data[at : at + size] = struct.pack(form, rng.choice(INTEGERS) % 2 ** (8 * size))
    return bytes(data)


def _fill(data: bytearray, rng: random.Random) -> bytes:
    at, count = _place(data, rng), rng.randrange(1, 64)
    data[at : at + count] = bytes([rng.choice((0, 255, 32, 91))]) * count
    return bytes(data)


def _digits(data: bytearray, rng: random.Random) -> bytes:
    """Change a number written as text, without moving what follows."""
    found = list(re.finditer(rb"\d+", data))
    if found:
        spot = rng.choice(found)
        size = spot.end() - spot.start()
        data[spot.start() : spot.end()] = rng.choice((b"9", b"0", b"-", b"e")) * size
    return bytes(data)


_BYTE_WAYS = (_flip, _cut, _remove, _splice, _repeat, _overwrite_number, _fill, _digits)


def _place(data: bytearray, rng: random.Random) -> int:
    """Choose a place, more often in the head of a file, where its sizes stand."""
    return rng.randrange(max(min(len(data), 400 if rng.random() < 0.5 else len(data)), 1))
