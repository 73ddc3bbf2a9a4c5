"""What a server says it has counted: labels and predictions, and while requests are mirrored its latest answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mlship.engines import users
from mlship.engines.counters import Counted
from mlship.stats.buckets import INFINITY, MISSING
from mlship.types import Counts, Labelled, Prediction, Predictions, Routes, ServerCounters

#: Latest predictions that a worker of a server is asked for: with more than so many between two looks, some of the
#: requests are compared. Each takes a server less than a microsecond a look.
ANSWERS = 2048
#: Bounds of what is believed; a server keeps within them (`serving.state`, `serving.tally`): seconds with labels;
#: classes, with the others and the missing; answers of 64 workers; characters of a name.
MAX_SECONDS, MAX_CLASSES, MAX_ANSWERS, LONGEST = 4096, 1002, 64 * ANSWERS, 128
#: Counts are smaller, so that a float holds each exactly.
LARGEST = 2**53
#: Answers are no larger, so that their difference is finite.
_WIDEST = 1e308
#: Members of an object, and digits of a bucket's index.
_FIELDS, _DIGITS = 16, 6
#: Bytes of an answer to `/counters` (all labels and classes there can be take less than one MiB; an hour of labels with
#: a thousand classes 0.25), and with the answers of 64 workers, which are texts of 64 characters.
MOST, MOST_ANSWERS = 2 << 20, 16 << 20
#: Commas and brackets in it: so that reading it takes no longer than of one that holds all that it may.
_PARTS, _BETWEEN = 1 << 20, (b",", b"[", b"{")


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of `GET /counters`, or that there was none; fields as in ``ServerCounters``."""

    epoch: str | None = None
    labels: tuple[Labelled, ...] = ()
    predictions: Predictions | None = None
    answers: dict[str, Prediction] | None = None

    def beside(self, counters: ServerCounters) -> ServerCounters:
        """The router's counts of a server, with what it says itself."""
        return replace(
            counters,
            labels=self.labels,
            labels_epoch=self.epoch,
            predictions=self.predictions,
            answers=self.answers,
        )


#: No answer, and none before.
NOTHING = Said()


def path(routes: Routes | None) -> str:
    """What to ask under these routes: answers only while there are two of the same request to compare."""
    mirroring = routes is not None and routes.canary is not None and routes.mirror > 0
    return f"/counters?answers={ANSWERS}" if mirroring else "/counters"


def most(path: str) -> int:
    """Bytes that a server may answer there."""
    return MOST_ANSWERS if "?answers=" in path else MOST


def read(body: bytes) -> Said | None:
    """A server's answer, whole; None when there is anything in it that a server never says, or too much of it.

    One of an older image tells no predictions, and one that nobody asked for answers none, which is no error. What a
    newer one may tell besides is left out.
    """
    try:
        if len(body) > MOST_ANSWERS or sum(map(body.count, _BETWEEN)) > _PARTS:
            return None
        return _said(json.loads(body, parse_constant=_refuse))
    except (ValueError, RecursionError):  # not JSON, not UTF-8, thousands of digits, or lists in lists without end
        return None


def _said(document: Any) -> Said:
    given = _dict(document, _FIELDS)
    labels = given.get("labels")
    if not isinstance(labels, list) or len(labels) > MAX_SECONDS:
        raise _Strange
    epoch = _text(given.get("epoch"))
    if not epoch:
        raise _Strange
    return Said(epoch, tuple(map(_labelled, labels)), _predictions(given.get("predictions")), _answers(given))


def _labelled(row: Any) -> Labelled:
    if not isinstance(row, list) or len(row) != len(Labelled.__slots__):
        raise _Strange
    second, labelled, wrong = map(_count, row)
    if wrong > labelled:
        raise _Strange
    return Labelled(second, labelled, wrong)


def _predictions(told: Any) -> Predictions | None:
    if told is None:
        return None
    both = _dict(told, _FIELDS)
    classes, scores = _dict(both.get("classes"), MAX_CLASSES), _dict(both.get("scores"), INFINITY - MISSING + 1)
    return Predictions(
        {_text(name): _count(times) for name, times in classes.items()},
        {_index(name): _count(times) for name, times in scores.items()},
    )


def _answers(given: Mapping[str, Any]) -> dict[str, Prediction] | None:
    answers = given.get("answers")
    return None if answers is None else {_text(key): _value(one) for key, one in _dict(answers, MAX_ANSWERS).items()}


def _dict(given: Any, most: int) -> dict[str, Any]:
    if not isinstance(given, dict) or len(given) > most:
        raise _Strange
    return given


def _count(given: Any) -> int:
    """A count or a second; true is none."""
    if type(given) is not int or not 0 <= given < LARGEST:
        raise _Strange
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str) or len(given) > LONGEST:
        raise _Strange
    given.encode()  # half a character raises ValueError
    return given


def _index(name: str) -> int:
    """A bucket of scores."""
    if len(name) > _DIGITS or str(index := int(name)) != name or not MISSING <= index <= INFINITY:
        raise _Strange
    return index


def _value(given: Any) -> Prediction:
    """One row's prediction, as `tally.value` writes it."""
    if given is None:
        return math.nan
    if isinstance(given, str):
        return _text(given)
    if not isinstance(given, int | float) or not abs(given) <= _WIDEST:
        raise _Strange
    return given


def _refuse(constant: str) -> float:
    """Instead of NaN and infinities, which JSON lacks, and Python's reader takes."""
    raise ValueError(constant)


class _Strange(ValueError):
    """Something that no server says."""


class Counting(Protocol):
    """A server, as an engine knows it."""

    @property
    def name(self) -> str:
        """What routes call it."""

    @property
    def cluster(self) -> str:
        """What the router calls it."""

    @property
    def nonce(self) -> str:
        """Of its deployment."""


def counters(
    run: str,
    counted: Mapping[str, Counted],
    servers: Iterable[Counting],
    told: Mapping[str, Said],
    known: dict[str, Counts] | None = None,
) -> dict[str, ServerCounters]:
    """What router and servers have counted, by server.

    Parameters
    ----------
    run
        Name of the router's run.
    counted, told
        The router's counts, and what the servers say, by cluster.
    known
        With sticky routes: users by cluster.
    """
    found = {}
    for one in servers:
        count = counted.get(one.cluster, Counted())
        routed = ServerCounters(
            f"{run}/{one.nonce}",
            count.requests,
            count.errors,
            count.latency,
            timeouts=count.timeouts,
            mirrored=count.mirrored,
            users=users.of_cluster(known, one.cluster),
            refused=count.refused,
            mirrored_refused=count.mirrored_refused,
        )
        found[one.name] = told.get(one.cluster, NOTHING).beside(routed)
    return found
