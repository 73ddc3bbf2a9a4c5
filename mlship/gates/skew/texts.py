"""Why two columns of text differ, or a column of text and one of numbers: looked at by distinct pairs of values."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mlship.gates.skew.units import Cause
from mlship.gates.skew.values import Compared
from mlship.report.figures import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def text_causes(column: Compared, rows: NDArray[np.int64]) -> Iterator[Cause]:
    """Causes of differing texts, the most specific first. `rows` all have a value on both sides."""
    import numpy as np

    ours, asked = column.offline[rows], column.online[rows]
    pairs, counts = np.unique(np.stack([ours, asked]), axis=1, return_counts=True)
    left, right = ([str(column.texts[code]) for code in side] for side in pairs)
    weights = counts / counts.sum()

    def share(test: Callable[[str, str], bool]) -> float:
        return float(sum(weight for one, other, weight in zip(left, right, weights, strict=True) if test(one, other)))

    if column.kind == "types":
        words = {"number": "numbers", "time": "times", "text": "text", "empty": "nothing"}
        alike = share(_reads_alike)
        claim = f"{words[column.kinds[0]]} offline, {words[column.kinds[1]]} online"
        odd = next(
            (
                one if column.kinds[0] == "text" else other
                for one, other in zip(left, right, strict=True)
                if not _reads_alike(one, other)
            ),
            None,
        )
        if alike >= 0.5:
            guess = "a type was lost on the way" + (
                f"; others, such as {quoted(odd)}, do not" if odd is not None else ""
            )
            yield Cause(f"{claim}, which read the same", alike, guess)
        yield Cause(claim, 1.0, "two different things under one name, or a type that was lost on the way")
        return
    yield from _constants(column, ours, asked)
    for claim, guess, test in _FORMS:
        yield Cause(claim, share(test), guess)
    yield from _affixes(left, right, weights)
    for claim, guess, test in _CUTS:
        yield Cause(claim, share(test), guess)


def _constants(column: Compared, ours: Any, asked: Any) -> Iterator[Cause]:
    import numpy as np

    values, counts = np.unique(asked, return_counts=True)
    if len(np.unique(ours)) >= 3:
        value = quoted(column.texts[values[counts.argmax()]])
        share = float(counts.max() / counts.sum())
        always = bool((column.online == values[counts.argmax()]).mean() > 0.999)
        claim = f"online is always {value}" if always else f"online is {value} whatever offline is"
        yield Cause(claim, share, "a default, or categories that online does not know")


def _reads_alike(one: str, other: str) -> bool:
    words = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
    try:
        first, second = (words.get(text.strip().lower()) for text in (one, other))
        first = float(one) if first is None else first
        second = float(other) if second is None else second
    except ValueError:
        return False
    return abs(first - second) <= 1e-6 * max(abs(first), abs(second))


def _plainly(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


_FORMS: tuple[tuple[str, str, Callable[[str, str], bool]], ...] = (
    ("only upper and lower case differ", "written in another case", lambda a, b: a.casefold() == b.casefold()),
    ("only spaces around the text differ", "not trimmed on one side", lambda a, b: a.strip() == b.strip()),
    (
        "only case and spaces differ",
        "cleaned on one side only",
        lambda a, b: "".join(a.casefold().split()) == "".join(b.casefold().split()),
    ),
    ("only the Unicode form differs", "not normalised on one side", lambda a, b: _plainly(a) == _plainly(b)),
    ("only leading zeros differ", "read as a number on one side", lambda a, b: a.lstrip("0") == b.lstrip("0")),
    ("the texts are the same number", "formatted in another way", _reads_alike),
    ("only punctuation differs", "cleaned on one side only", lambda a, b: _letters(a) == _letters(b) != ""),
)

_CUTS: tuple[tuple[str, str, Callable[[str, str], bool]], ...] = (
    (
        "online is the beginning of offline",
        "cut to a length",
        lambda a, b: 0 < len(b) < len(a) and a.startswith(b),
    ),
    (
        "offline is the beginning of online",
        "cut to a length",
        lambda a, b: 0 < len(a) < len(b) and b.startswith(a),
    ),
)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _affixes(left: list[str], right: list[str], weights: Any) -> Iterator[Cause]:
    """The same text with a constant before or after it."""
    found: dict[tuple[str, str, str], float] = {}
    for one, other, weight in zip(left, right, weights, strict=True):
        for short, long, side in ((one, other, "online"), (other, one, "offline")):
            if short and len(short) < len(long):
                if long.endswith(short):
                    key = (side, "before", long[: -len(short)])
                elif long.startswith(short):
                    key = (side, "after", long[len(short) :])
                else:
                    continue
                found[key] = found.get(key, 0.0) + float(weight)
    if found:
        (side, where, what), share = max(found.items(), key=lambda item: item[1])
        yield Cause(f"{side} has {quoted(what)} {where} the same text", share, "another naming scheme")
