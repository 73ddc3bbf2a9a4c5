"""The skew gate: does the online path give the model the same values as the offline path, for the same entities?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlship.gates import limits
from mlship.gates.base import FEWEST_ROWS, GateContext, Limit, judge, noted, without
from mlship.gates.skew.causes import causes
from mlship.gates.skew.columns import as_floats, kind_of, seen_as_text
from mlship.gates.skew.join import Match, Met, match
from mlship.gates.skew.keys import KeyProblem
from mlship.gates.skew.rows import Around
from mlship.gates.skew.show import (
    Finding,
    Shown,
    first_rows,
    per_feature,
    sentence,
    twins_table,
    unmatched_table,
    why_unmatched,
)
from mlship.gates.skew.sides import Sides, from_feast, from_files
from mlship.gates.skew.values import Compared, compare
from mlship.gates.skew.where import where
from mlship.policy.gates import FeastStore, SkewGate
from mlship.report.figures import count, listed, nearest, share, things
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


#: So many differing columns get a result and a table of their own; the others share one.
_MOST_TOLD = 12
#: Columns of at most so many texts are places in which differences may cluster.
_FEW_TEXTS = 200


class Skew:
    """The rules of `gates.skew`: `unmatched`, `mismatch`, and one `mismatch NAME` for each column beyond the limit."""

    name = "skew"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Results about the matching first, then about the values, the worst column first."""
        rules = context.policy.gates.skew
        if rules is None:
            return []
        if rules.feast is not None:
            return self._feast(context, rules, rules.feast)
        if rules.offline is None or rules.online is None or not rules.key:
            reason = "the policy names no `offline` and `online` rows with the `key` that both have, and no `feast`"
            return [without(self.name, "rows", Status.INCONCLUSIVE, "two sides", reason)]
        return self._judged(context, rules, from_files(context, rules, rules.offline, rules.online))

    def _feast(self, context: GateContext, rules: SkewGate, store: FeastStore) -> list[GateResult]:
        """Historical against online store; rows for whose time the online store is too new are told, not compared."""
        sides, newer = from_feast(context, store)
        results = self._judged(context, rules, sides)
        if newer:
            results.insert(0, without(self.name, "point in time", Status.INCONCLUSIVE, "online is not newer", newer))
        return results

    def _judged(self, context: GateContext, rules: SkewGate, sides: Sides) -> list[GateResult]:
        for name, frame in (("offline", sides.offline), ("online", sides.online)):
            if not len(frame):
                reason = f"the {name} side has no rows"
                return [without(self.name, "rows", Status.INCONCLUSIVE, "at least one row", reason)]
        columns, lacking = _columns(context, rules, sides)
        try:
            matched = match(
                sides.offline, sides.online, sides.keys, time=sides.time, max_age=sides.max_age, values=columns
            )
        except KeyProblem as problem:
            return [without(self.name, "rows", Status.INCONCLUSIVE, "keys that can be matched", str(problem))]
        results = [self._unmatched(rules, sides, matched), *self._ambiguous(sides, matched)]
        if lacking:
            results.append(without(self.name, "columns", Status.INCONCLUSIVE, "all are compared", lacking))
        return results + self._compared(context, rules, sides, matched, columns)

    def _unmatched(self, rules: SkewGate, sides: Sides, matched: Match) -> GateResult:
        """The share of online rows without an offline row, and why they have none."""
        limit = limits.skew(rules)["unmatched"]
        alone = (matched.met != Met.MATCHED) & (matched.met != Met.AMBIGUOUS)
        measured = Measurement(
            "share of online rows without an offline row", float(alone.mean()), n=len(alone), source="keys"
        )
        told = [why_unmatched(matched, sides.max_age), *matched.notes, *sides.notes]
        result = judge(self.name, "unmatched", measured, limit, note="; ".join(filter(None, told)))
        if not alone.any():
            return result
        return replace(result, exhibits=(unmatched_table(sides.for_eyes, matched),))

    def _ambiguous(self, sides: Sides, matched: Match) -> list[GateResult]:
        """Online rows that several offline rows compete for."""
        import numpy as np

        rows = np.flatnonzero(matched.met == Met.AMBIGUOUS)
        if not rows.size:
            return []
        first = ", ".join(f"{at + 1:,}" for at in matched.twins(int(rows[0]))[:4])
        what = "key and time" if sides.time else "key"
        hint = (
            "keep one of each"
            if sides.time
            else "give `time`, so that the last one before the request counts, or keep one of each"
        )
        shown = sides.for_eyes
        reason = (
            f"{things(len(rows), 'online row')} of {count(len(matched.met))} were not compared: several offline rows "
            f"with their {what} do not agree, such as data rows {first} for {shown.name(int(rows[0]))}: {hint}"
        )
        measured = Measurement(
            "share of online rows with several offline rows", float(rows.size / len(matched.met)), n=len(matched.met)
        )
        result = GateResult(
            self.name, "duplicates", Status.INCONCLUSIVE, f"one offline row per {what}", reason, measured
        )
        return [replace(result, exhibits=(twins_table(shown, matched, rows),))]

    def _compared(
        self, context: GateContext, rules: SkewGate, sides: Sides, matched: Match, columns: Sequence[str]
    ) -> list[GateResult]:
        """The values of the matched rows, column by column: the summary, then each column beyond the limit."""
        import numpy as np

        limit = limits.skew(rules)["mismatch"]
        rows = np.flatnonzero(matched.met == Met.MATCHED)
        if not rows.size or not columns:
            reason = (
                "no online row met an offline row, so no value was compared"
                if columns
                else "there is no column to compare"
            )
            return [without(self.name, "mismatch", Status.INCONCLUSIVE, limit, reason)]
        work = _Work(sides, matched, rows, matched.offline[rows], columns)
        findings = sorted(self._look(context, rules.tolerance, work), key=lambda finding: -finding.share)
        bad = [finding for finding in findings if not limit.kept_by(finding.share)]
        results = [self._summary(limit, findings, bad, len(rows))]
        for finding in bad[:_MOST_TOLD]:
            measured = Measurement("share of rows that differ", finding.share, n=len(rows), source="matched rows")
            result = judge(self.name, f"mismatch {finding.name}", measured, limit, note="")
            result = replace(result, reason=sentence(finding))
            results.append(replace(result, exhibits=(finding.rows,) if finding.rows else ()))
        return results

    def _summary(self, limit: Limit, findings: list[Finding], bad: list[Finding], n: int) -> GateResult:
        worst = findings[0]
        measured = Measurement("largest share of rows that differ", worst.share, n=n, source="matched rows")
        same = sum(finding.share == 0 for finding in findings)
        if bad:
            named = [f"{finding.name} ({share(finding.share)})" for finding in bad]
            rest = (
                f"; the other {things(len(findings) - len(bad), 'column')} kept it" if len(bad) < len(findings) else ""
            )
            note = f"{len(bad)} of {things(len(findings), 'column')} beyond it: {listed(named)}{rest}"
        elif same == len(findings):
            note = (
                f"all {things(same, 'column')} are the same in every row"
                if same > 1
                else f"column '{worst.name}' is the same in every row"
            )
        else:
            named = [f"{finding.name} ({share(finding.share)})" for finding in findings if finding.share]
            rest = f"{same} of {things(len(findings), 'column')} are the same in every row"
            note = f"{rest}; within the limit differ {listed(named)}; {worst.name}: {sentence(worst)}"
        result = judge(self.name, "mismatch", measured, limit, note=note)
        if result.status is Status.PASSED and n < FEWEST_ROWS:
            reason = f"{things(n, 'row')} could be compared; below {FEWEST_ROWS} nothing is decided; {note}"
            result = replace(result, status=Status.INCONCLUSIVE, reason=reason)
        empty = [finding.name for finding in findings if finding.empty]
        if len(empty) == len(findings):
            reason = f"no row has a value on either side in {listed(empty)}: nothing was compared"
            return replace(result, status=Status.INCONCLUSIVE, reason=reason)
        if empty:
            result = noted(result, f"no row has a value on either side in {listed(empty)}")
        if same == len(findings):
            return result
        tables = [per_feature(findings, n), *(finding.rows for finding in findings[:3] if finding.rows and not bad)]
        return replace(result, exhibits=tuple(tables))

    def _look(self, context: GateContext, tolerance: float, work: _Work) -> Iterator[Finding]:
        """One column after the other, so that two of them are in memory at a time."""
        for done, name in enumerate(work.columns):
            context.tick(done, len(work.columns))
            offline, online = work.sides.offline[name], work.sides.online[name]
            column = compare(name, offline, online, position=work.position, rows=work.rows, tolerance=tolerance)
            if column.differs.any():
                why = causes(column, work.around(column))
                place = where(column.differs, work.times, work.categories)
                yield first_rows(column, why, place, shown=work.shown, matched=work.matched, rows=work.rows)
            else:
                yield Finding(name, 0.0, len(work.rows), empty=column.empty)


@dataclass(frozen=True, eq=False)
class _Work:
    """The matched rows, and the columns to compare in them."""

    sides: Sides
    matched: Match
    rows: NDArray[np.int64]
    """The online rows that met an offline row, as positions."""
    position: NDArray[np.int64]
    """Of these offline rows."""
    columns: Sequence[str]

    @cached_property
    def times(self) -> Any:
        """Of the online rows, as datetime64; None without times."""
        stamped = self.matched.stamps[1]
        return None if stamped is None else stamped[self.rows]

    @cached_property
    def categories(self) -> dict[str, tuple[NDArray[np.int16], NDArray[np.object_]]]:
        """Codes and texts of the offline columns of few texts, in which differences may cluster."""
        found = {}
        for name in self.columns:
            if kind_of(self.sides.offline[name]) == "text":
                codes, texts = seen_as_text(self.sides.offline[name])
                if len(texts) <= _FEW_TEXTS:
                    found[name] = codes.astype("int16")[self.position], texts
        return found

    @property
    def shown(self) -> Shown:
        """How a person finds the rows again."""
        return self.sides.for_eyes

    def around(self, column: Compared) -> Around:
        """What the causes may ask about the rows around those that differ."""
        return Around(
            lambda chosen, steps: self.matched.earlier(self.rows[chosen], steps),
            self._ages,
            lambda chosen: self._others(column, chosen),
        )

    def _ages(self, chosen: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Seconds from the offline rows `place` to the online rows; None without times."""
        import numpy as np

        stamps, stamped = self.matched.stamps
        if stamps is None:
            return None
        return np.asarray((stamped[self.rows[chosen]] - stamps[place]).astype("int64") / 1e9)

    def _others(self, column: Compared, chosen: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The offline values of the other columns of the same kind."""
        import numpy as np

        for name in self.columns:
            if name == column.name:
                continue
            values = self.sides.offline[name].iloc[self.position[chosen]]
            kind = kind_of(values)
            if kind == column.kind == "text":
                codes, texts = seen_as_text(values)
                yield name, np.append(texts, np.array([None], dtype=object))[codes]
            elif kind == column.kind == "number":
                yield name, as_floats(values)


def _columns(context: GateContext, rules: SkewGate, sides: Sides) -> tuple[list[str], str]:
    """The columns to compare, and a sentence about those that should be compared and cannot."""
    ours, asked = ([str(name) for name in frame.columns] for frame in (sides.offline, sides.online))
    apart = {*sides.keys, *filter(None, [sides.time])}
    if context.evaluation is not None and context.evaluation.target:
        apart.add(context.evaluation.target)
    inputs = context.candidate.version.inputs
    if rules.columns:
        wanted, who = list(rules.columns), "the policy asks for"
    elif sides.columns is not None:
        wanted, who = list(sides.columns), "the policy asks for"
    elif inputs:
        wanted, who = [name for name in inputs if name not in apart], "the candidate takes"
    else:
        wanted, who = [name for name in ours if name in asked and name not in apart], ""
    gone = []
    for name in wanted:
        sides_without = [side for side, known in (("offline", ours), ("online", asked)) if name not in known]
        if sides_without:
            gone.append((name, sides_without, nearest(name, asked if sides_without == ["online"] else ours)))
    lacking = ""
    if gone:
        name, where, hint = gone[0]
        both = "neither side has" if len(where) == 2 else f"the {where[0]} side lacks"
        more = f" (and {len(gone) - 1} more: {listed([other for other, *_ in gone[1:]])})" if len(gone) > 1 else ""
        lacking = f"{both} '{name}', which {who}{more}: it was not compared{hint}"
    names = {name for name, *_ in gone}
    return [name for name in wanted if name not in names], lacking
