"""Predictions between two looks: classes and scores by difference, and whether both arms said the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from mlship.types import OTHER_CLASS, Prediction, Predictions, ServerCounters

#: What rounding may change, as a share of a number: rows share a model call with others, and have others in each arm.
ROUNDING = 1e-6

_Key = TypeVar("_Key", str, int)


def window(old: ServerCounters | None, new: ServerCounters) -> Predictions | None:
    """What a server predicted between two looks; None when one of them could not be read.

    A server that began again, or was not there before, counts from zero. No count is negative.
    """
    if new.predictions is None or new.labels_epoch is None:
        return None
    if old is None:
        return new.predictions
    if old.labels_epoch is None:
        return None
    if epoch(old) != epoch(new):
        return new.predictions
    if old.predictions is None:
        return None
    return Predictions(
        _difference(old.predictions.classes, new.predictions.classes),
        _difference(old.predictions.scores, new.predictions.scores),
    )


def alike(
    windows: tuple[Predictions | None, Predictions | None], counted: tuple[ServerCounters, ServerCounters]
) -> tuple[Predictions | None, Predictions | None]:
    """The windows of both arms with the same classes told apart.

    A server tells only so many classes apart, those that come first. Where one does not tell all, a class that the
    other does not know by name is put with the others in both arms: it may be there in the other under no name.

    Parameters
    ----------
    windows, counted
        Of stable and canary: what was predicted in the window, and since the start.
    """
    one, other = windows
    known = [each.predictions.classes if each.predictions else {} for each in counted]
    if one is None or other is None or not any(OTHER_CLASS in classes for classes in known):
        return windows
    common = known[0].keys() & known[1].keys()
    return _folded(one, common), _folded(other, common)


def agreement(
    old: tuple[ServerCounters | None, ServerCounters | None],
    new: tuple[ServerCounters, ServerCounters],
    tolerance: float,
) -> tuple[int, int]:
    """(compared, different) predictions for the requests that both arms have answered since the earlier look.

    A request counts in the look in which both answers are there for the first time. Where the earlier look did not
    read an arm's answers, nothing is compared: they may have been compared before.

    Parameters
    ----------
    old, new
        Of stable and canary, at the earlier and the later look.
    tolerance
        Numbers that differ by no more than this agree.
    """
    before = [({} if one is None else one.answers) for one in old]
    stable, canary = new[0].answers, new[1].answers
    if stable is None or canary is None or before[0] is None or before[1] is None:
        return 0, 0
    fresh = (stable.keys() & canary.keys()) - (before[0].keys() & before[1].keys())
    return len(fresh), sum(not same(stable[key], canary[key], tolerance) for key in fresh)


def same(one: Prediction, other: Prediction, tolerance: float) -> bool:
    """Whether two predictions agree: the same class, or numbers at most `tolerance` (or a rounding error) apart."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other) <= tolerance
    both_missing = math.isnan(one) and math.isnan(other)
    return both_missing or math.isclose(one, other, rel_tol=ROUNDING, abs_tol=tolerance)


def epoch(counters: ServerCounters) -> str | None:
    """Since when a server counts labels and predictions; None when it could not be asked."""
    return counters.labels_epoch if counters.labels_epoch is None else counters.labels_epoch or counters.epoch


def _difference(old: Mapping[_Key, int], new: Mapping[_Key, int]) -> dict[_Key, int]:
    return {key: times - old.get(key, 0) for key, times in new.items() if times > old.get(key, 0)}


def _folded(predictions: Predictions, common: set[str]) -> Predictions:
    classes = {name: times for name, times in predictions.classes.items() if name in common and name != OTHER_CLASS}
    rest = sum(predictions.classes.values()) - sum(classes.values())
    return Predictions(classes | ({OTHER_CLASS: rest} if rest else {}), predictions.scores)
