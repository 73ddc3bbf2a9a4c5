"""Text that any file may hold: no control characters, no halves of surrogate pairs; shared by the machine reports."""

from __future__ import annotations

import re

#: What XML 1.0 has no place for, escaped or not; JSON's readers and terminals are better off without it, too.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u0085]")


def plain(text: str) -> str:
    """The text without what some reader would refuse."""
    return _ILLEGAL.sub("", text)


def one_line(text: str) -> str:
    """The text on one line."""
    return " ".join(plain(text).split())
