"""The arguments of a pickle's instructions, read as CPython reads them: each instruction's name, and its argument."""

from __future__ import annotations

import codecs
import pickletools
from collections.abc import Callable
from typing import IO, Any

#: Longer text is not kept: no name is as long.
_LONGEST_TEXT = 1000
#: Bytes of a line, as the old text instructions have them.
_LONGEST_LINE = 1 << 20


class Stop(Exception):
    """The stream ends here, or no reader gets further; `why` is empty for the regular end."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Opaque:
    """A value that does not matter."""


OPAQUE = Opaque()


# Arguments of instructions. Whatever the reader in CPython takes must be taken here: where this one stops and that one
# goes on, the rest of the file is not looked through. Where it stops and this one goes on, nothing is lost.


def _bytes(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise Stop("it is cut short")
    return data


def _line(file: IO[bytes]) -> bytes:
    data = file.readline(_LONGEST_LINE)
    if not data.endswith(b"\n"):
        raise Stop("a line of it is not ended" if len(data) < _LONGEST_LINE else "a line of it is too long")
    return data[:-1]


def _number(width: int, *, signed: bool = False) -> Callable[[IO[bytes]], int]:
    return lambda file: int.from_bytes(_bytes(file, width), "little", signed=signed)


def _skip(file: IO[bytes], length: int) -> None:
    while length > 0:
        length -= len(_bytes(file, min(length, 1 << 20)))


def _sized(width: int, kind: str) -> Callable[[IO[bytes]], Any]:
    """Text or bytes after their length; only short text is kept."""

    def read(file: IO[bytes]) -> Any:
        length = int.from_bytes(_bytes(file, width), "little")
        if kind != "text" or length > 4 * _LONGEST_TEXT:
            _skip(file, length)
            return OPAQUE
        return _short(_bytes(file, length).decode("utf-8", "surrogatepass" if kind == "text" else "replace"))

    def checked(file: IO[bytes]) -> Any:
        try:
            return read(file)
        except UnicodeDecodeError as error:
            raise Stop(f"it holds text that is none: {error.reason}") from None

    return checked


def _short(value: str) -> Any:
    return value if len(value) <= _LONGEST_TEXT else OPAQUE


def _integer(file: IO[bytes]) -> Any:
    text = _line(file)
    if text in (b"00", b"01"):
        return text == b"01"
    try:
        return int(text.rstrip(b"L"))
    except ValueError:
        return OPAQUE  # CPython takes some numbers that are none here: 0x1, or what follows a zero byte


def _place(file: IO[bytes]) -> int:
    text = _line(file)
    try:
        return int(text)
    except ValueError:
        raise Stop("its memo has no such place") from None


def _opaque_line(file: IO[bytes]) -> Any:
    _line(file)
    return OPAQUE


def _quoted(file: IO[bytes]) -> Any:
    text = _line(file)
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise Stop("its text has no quotes")
    try:
        return _short(codecs.escape_decode(text[1:-1])[0].decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return OPAQUE


def _escaped(file: IO[bytes]) -> Any:
    try:
        return _short(_line(file).decode("raw-unicode-escape"))
    except UnicodeDecodeError:
        return OPAQUE


def _old_bytes(width: int) -> Callable[[IO[bytes]], Any]:
    def read(file: IO[bytes]) -> Any:
        length = int.from_bytes(_bytes(file, width), "little")
        if length > _LONGEST_TEXT:
            _skip(file, length)
            return OPAQUE
        return _bytes(file, length).decode("latin-1")

    return read


def _two_lines(file: IO[bytes]) -> tuple[str, str]:
    return _line(file).decode("utf-8", "replace"), _line(file).decode("utf-8", "replace")


def _long(width: int) -> Callable[[IO[bytes]], Any]:
    def read(file: IO[bytes]) -> Any:
        length = int.from_bytes(_bytes(file, width), "little")
        if length > _LONGEST_TEXT:
            _skip(file, length)
            return OPAQUE
        return int.from_bytes(_bytes(file, length), "little", signed=True)

    return read


_ARGUMENTS: dict[str, Callable[[IO[bytes]], Any]] = {
    "INT": _integer, "LONG": _integer, "FLOAT": _opaque_line, "STRING": _quoted, "UNICODE": _escaped,
    "GET": _place, "PUT": _place, "PERSID": _line, "GLOBAL": _two_lines, "INST": _two_lines,
    "BININT": _number(4, signed=True), "BININT1": _number(1), "BININT2": _number(2),
    "BINGET": _number(1), "LONG_BINGET": _number(4), "BINPUT": _number(1), "LONG_BINPUT": _number(4),
    "LONG1": _long(1), "LONG4": _long(4), "BINFLOAT": _number(8), "PROTO": _number(1), "FRAME": _number(8),
    "BINSTRING": _old_bytes(4), "SHORT_BINSTRING": _old_bytes(1),
    "BINBYTES": _sized(4, "bytes"), "SHORT_BINBYTES": _sized(1, "bytes"), "BINBYTES8": _sized(8, "bytes"),
    "BYTEARRAY8": _sized(8, "bytes"), "SHORT_BINUNICODE": _sized(1, "text"), "BINUNICODE": _sized(4, "text"),
    "BINUNICODE8": _sized(8, "text"),
}  # fmt: skip
#: The byte of an instruction -> its name and what reads its argument.
READERS: dict[bytes, tuple[str, Callable[[IO[bytes]], Any] | None]] = {
    one.code.encode("latin-1"): (one.name, _ARGUMENTS.get(one.name)) for one in pickletools.opcodes
}
