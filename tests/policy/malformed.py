"""Policies that are not valid, each in one way that people really meet: the fault's place, its words, the way out."""

from __future__ import annotations

from typing import NamedTuple

#: A valid policy; `july.csv` has the columns `late` and `distance`.
BASE = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-06-30}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics:
    recall: {min: 0.6, max_drop: 0.01}
  latency: {rate: 100/s, p99: 200ms}
endpoint: {listen: "127.0.0.1:8080"}
rollout:
  steps:
    - {weight: 10%, bake: {for: 10m, requests: 500}}
    - {weight: 50%, bake: {requests: 5000}}
  freeze: ["Fri 16:00 - Mon 08:00 Europe/Berlin"]
"""
_STEPS = BASE[BASE.index("  steps:") : BASE.index("  freeze:")]
_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)
)


class Malformed(NamedTuple):
    """One row of the table."""

    name: str
    content: bytes | None
    """None: the path is a directory."""
    at: str
    """LINE:COLUMN, as editors count."""
    what: str
    """A part of the message."""
    hint: str
    """A part of the way out."""


def _change(name: str, old: str, new: str, at: str, what: str, hint: str) -> Malformed:  # noqa: PLR0917 - a column each
    """The valid policy with one piece of text replaced."""
    assert BASE.count(old) == 1, f"{name}: {old!r} is not once in the policy"
    return Malformed(name, BASE.replace(old, new).encode(), at, what, hint)


TABLE = (
    # The text is no YAML, or YAML that means something else than it looks like.
    _change("tab", "    recall", "\trecall", "7:1", "a tab in the indentation", "indent with spaces"),
    _change("indentation", "  latency:", "   latency:", "8:4", "wrong indentation", "start in the same column"),
    _change("quote", '8080"', "8080", "9:20", "a quote is opened here, and not closed on this line", "close it"),
    _change("bracket", "0.01}", "0.01", "7:13", "a section is not closed", "close it with }"),
    _change("duplicate section", "endpoint:", "gates: {}\nendpoint:", "9:1", "duplicate key 'gates'", "keep one"),
    _change("duplicate key", "max_drop", "min", "7:24", "duplicate key 'min'; the first is at 7:14", "keep one"),
    _change("conflict", "endpoint:", "<<<<<<< HEAD\nendpoint:", "9:1", "a merge conflict is not resolved", "a side"),
    _change("truth", "team: flight-ops", "team: yes", "3:15", "unquoted 'yes' is true to some", 'quote it: "yes"'),
    _change("not a number", "min: 0.6", "min: .nan", "7:19", "'.nan' cannot be a limit", "a finite number"),
    _change("decimal comma", "min: 0.6", "min: 0,6", "7:21", "a key must be text", "is 0.6 meant?"),
    _change("two documents", "endpoint:", "---\nendpoint:", "9:1", "a second document begins", "remove ---"),
    # The file is none.
    Malformed("directory", None, "1:1", "this is a directory", "name the file in it"),
    Malformed("empty", b"", "1:1", "the policy is empty", "begins with `version: 1`"),
    Malformed("binary", b"PK\x03\x04\x14\x00\x06\x00", "1:1", "this is a binary file", "name the policy file"),
    Malformed("utf-16", BASE.encode("utf-16"), "1:1", "the file is UTF-16", "save it as UTF-8"),
    Malformed("latin-1", BASE.replace("team: f", "team: é").encode("latin-1"), "3:1", "not UTF-8", "save it as UTF-8"),
    Malformed("huge", b"#" * 1_200_000, "1:1", "too large for a policy: 1.2 MB", "is it another file?"),
    Malformed("bomb", _BOMB.encode(), "4:5", "more than 20,000 values", "is it another file?"),
    Malformed("list", b"- version: 1\n", "1:1", "a policy is a mapping", "begin with `version: 1`"),
    # Keys.
    _change("misspelt key", "max_drop", "max_dorp", "7:24", "unknown key 'max_dorp'", "did you mean 'max_drop'?"),
    _change("unknown gate", "  latency:", "  accuracy:", "8:3", "unknown key 'accuracy'", "known here: security, con"),
    _change("unknown metric", "recall:", "recal:", "7:5", "'recal' is not a metric", "did you mean 'recall'?"),
    _change("misplaced key", "rollout:", "rollout:\n  weight: 10%", "11:3", "unknown key 'weight'", "rollout.steps"),
    _change("no owner", BASE.splitlines(keepends=True)[2], "", "1:1", "missing key 'owner'", "add `owner: ...`"),
    # Values.
    _change("percent in quotes", "weight: 10%", 'weight: "10"', "12:16", "a percentage needs its sign", "'10%'?"),
    _change("share", "weight: 10%", "weight: 0.1", "12:16", "a percentage needs its sign", "'10%' or '0.1%'?"),
    _change("over 100 %", "weight: 50%", "weight: 500%", "13:16", "'500%' is more than 100%", "between 0% and 100%"),
    _change("no unit", "p99: 200ms", "p99: 200", "8:31", "a duration needs a unit", "'200s' or '200ms'?"),
    _change("wrong unit", "100/s", "100 rps", "8:19", "'100 rps' is not a rate", "write it as 100/s"),
    _change("negative", "for: 10m", "for: -10m", "12:33", "'-10m' is not a duration", "30s, 10m, 24h"),
    _change("min above max", "max_drop: 0.01", "max: 0.3", "7:19", "min 0.6 is more than max 0.3", "swap them?"),
    _change("date", "2099-06-30", "2099-06-31", "3:71", "'2099-06-31' is not a date", "write it as 2027-06-30"),
    _change("section as list", _STEPS, "  steps: {weight: 10%}\n", "11:3", "must be a list", "in order"),
    _change("order of steps", "weight: 10%", "weight: 60%", "13:16", "50% is not more than the step before", "rise"),
    _change("step twice", "weight: 50%", "weight: 10%", "13:16", "10% is not more than the step before", "must rise"),
    _change("cron", "Fri 16:00 - Mon 08:00 Europe/Berlin", "0 16 * * 5", "14:12", "no window of the week", "'Fri 16"),
    _change("zone", "Europe/Berlin", "Europe/Berln", "14:12", "no time zone 'Europe/Berln'", "'Europe/Berlin'?"),
    _change("variable", "127.0.0.1:8080", "${NOWHERE}", "9:20", "variable NOWHERE is not set", "or write ${NOWHERE:-"),
    _change("reference", "flight-delay", "models:/f/3", "2:8", "cannot contain '/' or ':'", "the name only"),
    _change("engine", "rollout:", "rollout:\n  engine: dokcer", "11:11", "'dokcer' is not known", "mean 'docker'?"),
)  # fmt: skip
