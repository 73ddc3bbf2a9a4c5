"""Key columns of both sides as codes: equal for equal keys, also where one side holds numbers and the other text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlship.gates.skew.columns import kind_of, merged, moments, seen_as_text, through, whole_numbers
from mlship.report.figures import quoted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Composite keys stay below this, so that they fit into 64 bits with room for a sign.
ROOM = 1 << 62


class KeyProblem(ValueError):
    """The keys or times of the two sides cannot be matched, and why."""


def key_codes(
    offline: pd.DataFrame, online: pd.DataFrame, keys: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """One number per key on each side, equal for equal keys; -1 where part of the key is missing."""
    import numpy as np
    import pandas as pd

    notes: list[str] = []
    first = len(offline)
    both = np.zeros(first + len(online), dtype=np.int64)
    kinds = 1
    for name in keys:
        codes, count, note = _coded(offline[name], online[name], name)
        notes += [note] if note else []
        if kinds * max(count, 1) >= ROOM >> 8:
            packed, unique = pd.factorize(both[both >= 0])
            both[both >= 0] = packed
            kinds = len(unique)
        gone = (both < 0) | (codes < 0)
        both = both * max(count, 1) + codes
        both[gone] = -1
        kinds *= max(count, 1)
    if kinds > 4 * len(both) + 1000:  # so that times fit beside the keys
        there = both >= 0
        both[there] = pd.factorize(both[there])[0]
    return both[:first], both[first:], notes


def _coded(ours: pd.Series[Any], asked: pd.Series[Any], name: str) -> tuple[NDArray[np.int64], int, str]:
    """One key column of both sides as codes from 0; their number; and a note when the types were not the same."""
    import numpy as np
    import pandas as pd

    kinds = kind_of(ours), kind_of(asked)
    if "empty" in kinds or kinds == ("number", "number"):
        left, right = (whole_numbers(column) for column in (ours, asked))
        if left is not None and right is not None:
            return (*_dense(np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]])), "")
        floats = np.concatenate(
            [pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan) for column in (ours, asked)]
        )
        codes, unique = pd.factorize(floats)
        return codes.astype(np.int64), len(unique), ""
    if kinds == ("time", "time") or set(kinds) == {"time", "text"}:
        stamps = [moments(column) for column in (ours, asked)]
        if stamps[0] is not None and stamps[1] is not None:
            codes, unique = pd.factorize(np.concatenate([stamps[0].values, stamps[1].values]))
            return codes.astype(np.int64), len(unique), ""
    left_codes, left_values = seen_as_text(ours)
    right_codes, right_values = seen_as_text(asked)
    if set(kinds) == {"number", "text"}:
        return _mixed(name, kinds, (left_codes, left_values), (right_codes, right_values))
    if kinds[0] != kinds[1]:
        raise KeyProblem(
            f"the key '{name}' holds {_said(kinds[0])} offline and {_said(kinds[1])} online: store both in one type"
        )
    return (*_united(left_codes, left_values, right_codes, right_values), "")


def _mixed(name: str, kinds: tuple[str, str], ours: Any, asked: Any) -> tuple[NDArray[np.int64], int, str]:
    """Numbers on one side, text on the other: the same where every text is plainly a whole number, else refused."""
    import pandas as pd

    text = ours[1] if kinds[0] == "text" else asked[1]
    plain = pd.Series(text, dtype=object).astype("str").str.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.0+)?")
    where = f"the key '{name}' holds {_said(kinds[0])} offline and {_said(kinds[1])} online"
    if not bool(plain.all()):
        example = quoted(text[int((~plain.to_numpy()).argmax())])
        raise KeyProblem(f"{where}, such as {example}, which is not plainly a number: store both in one type")
    cleaned = [
        pd.Series(side[1], dtype=object).astype("str").str.replace(r"\.0+$", "", regex=True).to_numpy(dtype=object)
        for side in (ours, asked)
    ]
    (left, left_texts), (right, right_texts) = (pd.factorize(values) for values in cleaned)
    codes, count = _united(through(left, ours[0]), left_texts, through(right, asked[0]), right_texts)
    return codes, count, f"{where}; they were matched as whole numbers"


def _dense(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Whole numbers as codes: their distance from the smallest where that is small, else by hashing."""
    import numpy as np
    import pandas as pd

    present = values[~missing] if missing.any() else values
    if not len(present):
        return np.full(len(values), -1, dtype=np.int64), 0
    least, most = int(present.min()), int(present.max())
    if most - least <= 4 * len(values) + 1000:
        codes, count = values - least, most - least + 1
    else:
        codes, unique = pd.factorize(values)
        count = len(unique)
    return np.where(missing, -1, codes).astype(np.int64), count


def _said(kind: str) -> str:
    return {"number": "numbers", "text": "text", "time": "times"}.get(kind, kind)


def _united(
    ours: NDArray[np.int64], values: Any, asked: NDArray[np.int64], others: Any
) -> tuple[NDArray[np.int64], int]:
    """Two coded columns in one code, and the number of its values."""
    import numpy as np

    table = merged(values, others)
    return np.concatenate([ours, through(table.translation, asked)]), len(table.texts)
