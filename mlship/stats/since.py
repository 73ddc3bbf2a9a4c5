"""What a cumulative sketch took in since an earlier look at it."""

from __future__ import annotations

from mlship.stats.sketches import ColumnSketch


def between(before: ColumnSketch | None, now: ColumnSketch) -> ColumnSketch:
    """What a cumulative sketch took in since it was `before`; all of `now` when there was none.

    Numbers are exact (their extremes are those of `now`). So are categories up to 128; of more, those that the sketch
    never gave up are exact, and the rest counts as `other`.

    Raises
    ------
    ValueError
        `before` is no part of `now`: the server has begun anew, and all of `now` is new.
    """
    if before is None:
        return ColumnSketch.from_json(now.to_json())
    came = ColumnSketch()
    for field in ("none", "unlike"):
        setattr(came, field, getattr(now, field) - getattr(before, field))
    mine, old, new = came.numbers, before.numbers, now.numbers
    for field in ("count", "nan", "zero", "below", "beyond"):
        setattr(mine, field, getattr(new, field) - getattr(old, field))
    for side in ("positive", "negative"):
        earlier, later = getattr(old, side), getattr(new, side)
        rest = {key: later.get(key, 0) - earlier.get(key, 0) for key in earlier.keys() | later.keys()}
        setattr(mine, side, {key: times for key, times in rest.items() if times})
    if mine.finite > 0:
        # Chan, Golub, LeVeque's update, solved for the part that was added.
        mine.mean = (new.finite * new.mean - old.finite * old.mean) / mine.finite
        apart = (mine.mean - old.mean) ** 2 * old.finite * mine.finite / new.finite
        mine.m2 = max(0.0, new.m2 - old.m2 - apart)
        mine.minimum, mine.maximum = new.minimum, new.maximum
    ours, then, since = came.categories, before.categories, now.categories
    ours.count, lost = since.count - then.count, since.error - then.error
    sizes = [came.none, came.unlike, mine.count, mine.nan, mine.zero, mine.below, mine.beyond, ours.count, lost]
    sizes += [*mine.positive.values(), *mine.negative.values()]
    if not lost:
        sizes += [since.counts.get(text, 0) - times for text, times in then.counts.items()]
    if min(sizes) < 0:
        raise ValueError("the sketch of before is no part of this one: what it counts has begun anew")
    left = ours.count
    for text, times in sorted(since.counts.items(), key=lambda item: (-item[1], item[0])):
        # A counter that was never given up has lost exactly what every counter did.
        more = times - then.counts[text] + lost if text in then.counts else times
        if more > 0 and left:
            ours.counts[text] = min(more, left)
            left -= ours.counts[text]
    return came
