"""What a gate of the team's own says, read strictly: one result or several, or one clear fault."""

from __future__ import annotations

import json
import math
from typing import Any

from mlship.exhibits import Cell, Table
from mlship.gates.base import Limit, judge
from mlship.report.figures import listed, nearest, quoted
from mlship.types import GateResult, Measurement, Status

GATE = "custom"
_KEYS = ("rule", "status", "value", "min", "max", "low", "high", "n", "champion", "share", "reason", "table")
_TABLE_KEYS = ("title", "columns", "rows", "note", "shares")
#: What a gate may say of itself. That it could not be judged is for mlship to say: let it fail.
_STATUSES = {status.value: status for status in Status if status is not Status.ERROR}
_MOST_ROWS = 20
_MOST_RESULTS = 100
_LONGEST = 400
_LARGEST = 1e300


class AnswerError(ValueError):
    """An answer that cannot be read, and what was expected."""


def read(text: str) -> Any:
    """The JSON in a text; raises ``AnswerError`` with the beginning of what was there instead."""
    if not text.strip():
        raise AnswerError('it printed nothing; expected JSON such as {"status": "passed"}')

    def refuse(constant: str) -> Any:
        raise AnswerError(f"it gives {constant}, which is no number; leave the value out, or say inconclusive")

    try:
        return json.loads(text, parse_constant=refuse)
    except AnswerError:
        raise
    except (ValueError, RecursionError):
        shown = quoted(text.strip()[:60])
        raise AnswerError(
            f'it printed no JSON, but {shown}; expected {{"status": "passed"}} or the like, and logs on stderr'
        ) from None


def results(name: str, answer: Any, source: str) -> list[GateResult]:
    """The results that the gate `name` gives, by its answer: one mapping, or a list of them.

    Raises ``AnswerError`` that names the key and what was expected there; one fault voids the whole answer.
    """
    said = [answer] if isinstance(answer, dict) else answer
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise AnswerError(
            f"it gives {_kind(answer)}; expected a result such as {{'status': 'passed'}}, or a list of them"
        )
    if not said:
        raise AnswerError("it gives no result: an empty list")
    if len(said) > _MOST_RESULTS:
        raise AnswerError(f"it gives {len(said)} results; the most is {_MOST_RESULTS}: put details into a table")
    found = [_result(name, one, source) for one in said]
    rules = [result.rule for result in found]
    if twice := [rule for rule in dict.fromkeys(rules) if rules.count(rule) > 1]:
        raise AnswerError(f"two of its results are named {quoted(twice[0])}; give each its own 'rule'")
    return found


def _result(name: str, said: dict[str, Any], source: str) -> GateResult:
    for key in said:
        if key not in _KEYS:
            raise AnswerError(f"its result has the unknown key {quoted(key)}{nearest(str(key), list(_KEYS))}")
    rule = f"{name} {_text(said, 'rule')}".strip()
    reason = _text(said, "reason")
    share = said.get("share", False)
    if not isinstance(share, bool):
        raise AnswerError(f"'share' is {_kind(share)}; expected true or false")
    measured = _measured(said, rule, source)
    other = _number(said, "champion")
    champion = None if other is None else Measurement(rule, other, source=source)
    limit = _limit(said, share=share)
    if limit is not None:
        if "status" in said:
            raise AnswerError("it gives a limit and a status; give a value with its limit, or a status")
        if measured.value is None:
            raise AnswerError(f"'{'min' if limit.at_least else 'max'}' is a limit of 'value', which is not there")
        result = judge(GATE, rule, measured, limit, champion=champion, note=reason)
    else:
        result = GateResult(GATE, rule, *_stated(said, reason), measured, champion)
    table = _table(said["table"], rule) if said.get("table") is not None else None
    if table is None:
        return result
    return GateResult(
        GATE, rule, result.status, result.limit, result.reason, result.measured, result.champion, exhibits=(table,)
    )


def _stated(said: dict[str, Any], reason: str) -> tuple[Status, str, str]:
    """Status, limit and reason of a result that the gate has judged itself."""
    if "status" not in said:
        wanted = "'min' or 'max' beside 'value'" if "value" in said else "'status', or 'value' with 'min' or 'max'"
        raise AnswerError(f"its result says nothing; expected {wanted}")
    status = _STATUSES.get(said["status"]) if isinstance(said["status"], str) else None
    if status is None:
        raise AnswerError(f"'status' is {quoted(said['status'])}; expected {listed(list(_STATUSES))}")
    if not reason and status in (Status.SKIPPED, Status.INCONCLUSIVE):
        raise AnswerError(f"a result that is {status} needs a 'reason'")
    return status, "its own judgement", reason or f"the gate says that it {status}, and no more"


def _measured(said: dict[str, Any], rule: str, source: str) -> Measurement:
    """The value, or none; what it came from stands in the evidence either way."""
    value, low, high = (_number(said, key) for key in ("value", "low", "high"))
    n = said.get("n", 0)
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise AnswerError(f"'n' is {quoted(n)}; expected the number of rows")
    if (low is None) != (high is None):
        raise AnswerError("it gives one end of an interval; expected 'low' and 'high'")
    if value is None:
        if low is not None:
            raise AnswerError("it gives an interval without a 'value'")
        return Measurement(rule, None, n=n, source=source)
    if low is not None and high is not None and not low <= value <= high:
        raise AnswerError(f"'low' {low:g}, 'value' {value:g} and 'high' {high:g} are not in this order")
    return Measurement(rule, value, low, high, n, source)


def _limit(said: dict[str, Any], *, share: bool) -> Limit | None:
    low, high = _number(said, "min"), _number(said, "max")
    if low is not None and high is not None:
        raise AnswerError("it gives 'min' and 'max' in one result; give one result for each limit")
    if low is not None:
        return Limit(low, at_least=True, share=share)
    return None if high is None else Limit(high, at_least=False, share=share)


def _number(said: dict[str, Any], key: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnswerError(f"'{key}' is {quoted(value)}; expected a number")
    if not abs(value) <= _LARGEST:
        raise AnswerError(f"'{key}' is no finite number; leave it out, or say inconclusive")
    return float(value)


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise AnswerError(f"'{key}' is {quoted(value)}; expected text")
    text = " ".join(value.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _table(said: Any, rule: str) -> Table:
    if not isinstance(said, dict) or not set(said) <= set(_TABLE_KEYS):
        raise AnswerError(f"'table' is {_kind(said)}; expected a mapping of {listed(list(_TABLE_KEYS))}")
    columns, rows, shares = said.get("columns"), said.get("rows"), said.get("shares", [])
    if not _texts(columns) or not columns:
        raise AnswerError("'columns' of the table must be a list of names")
    if not _texts(shares) or not set(shares) <= set(columns):
        raise AnswerError("'shares' of the table must be a list of some of its columns")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise AnswerError(f"'rows' of the table must be a list of rows of {len(columns)} cells each")
    cells = tuple(tuple(_cell(cell) for cell in row) for row in rows[:_MOST_ROWS])
    note = _text(said, "note")
    if len(rows) > _MOST_ROWS:
        note = "; ".join(filter(None, (note, f"the first {_MOST_ROWS} of {len(rows):,} rows")))
    return Table(_text(said, "title") or rule, tuple(columns), cells, note, tuple(shares))


def _cell(value: Any) -> Cell:
    if value is not None and not isinstance(value, (str, int, float)):
        raise AnswerError(f"a cell of the table is {_kind(value)}; expected text, a number or null")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value).lower() if isinstance(value, bool) else value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
