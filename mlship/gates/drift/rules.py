"""One side of the drift gate, evaluation or recent rows: its distances, judged, and the exhibits that show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mlship.exhibits import Exhibit, Table
from mlship.gates import limits, parts
from mlship.gates.base import Limit, judge, without
from mlship.gates.drift.columns import Moved, Windows
from mlship.gates.drift.windows import heat, worst_window
from mlship.policy.gates import DriftGate
from mlship.report.figures import count, listed, number, quoted, things
from mlship.sources.files import Rows
from mlship.stats.distances import Distance
from mlship.types import GateResult, Measurement, Status

_GATE = "drift"
_MOST_LISTED = 20


@dataclass(eq=False)
class Side:
    """Evaluation or recent rows, and what was found out about them."""

    name: str
    """evaluation or recent."""
    rows: Rows
    windows: Windows | None = None
    no_windows: str = ""
    """Why there are none."""
    features: list[Moved] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Columns that are gone or hold something else: sentences."""
    unknown: list[str] = field(default_factory=list)
    """Columns that cannot be compared: sentences."""
    predictions: Moved | None = None
    no_predictions: tuple[Status, str] | None = None
    outcomes: Moved | None = None
    no_outcomes: tuple[Status, str] | None = None

    def rule(self, name: str) -> str:
        """A rule's name, so that one can tell the sides apart."""
        return name if self.name == "evaluation" else f"{self.name} {name}"

    def results(self, rules: DriftGate) -> list[GateResult]:
        """Everything that the policy asks about this side; the exhibits stand with what they show."""
        results, asked = [], limits.drift(rules)
        if rules.features is not None or rules.max_unseen is not None:
            results.append(self._columns())
        if limit := asked.get("features psi"):
            results.append(self._furthest("features psi", limit, "PSI", lambda moved: moved.psi))
        if limit := asked.get("features wasserstein"):
            metric = "Wasserstein distance in standard deviations"
            results.append(self._furthest("features wasserstein", limit, metric, lambda moved: moved.wasserstein))
        if limit := asked.get("max_unseen"):
            results.append(self._unseen(limit))
        if limit := asked.get("predictions psi"):
            results.append(self._one("predictions psi", limit, self.predictions, self.no_predictions))
        if limit := asked.get("outcomes psi"):
            results.append(self._one("outcomes psi", limit, self.outcomes, self.no_outcomes))
        if rules.window is not None and self.windows is None:
            reason = f"{self.no_windows} in the {self.name} data that can be cut into windows of one {rules.window}"
            results.append(without(_GATE, self.rule("window"), Status.INCONCLUSIVE, "a time column", reason))
        if results:
            at = min(1, len(results) - 1) if self.features else 0
            results[at] = replace(results[at], exhibits=(*results[at].exhibits, *self._exhibits(rules)))
        return results

    def _columns(self) -> GateResult:
        """Every column is there, and holds what it held."""
        rule, limit = self.rule("columns"), "as in the reference"
        if self.changed:
            return GateResult(_GATE, rule, Status.FAILED, limit, "; ".join([*self.changed, *self.unknown]))
        if self.unknown:
            return without(_GATE, rule, Status.INCONCLUSIVE, limit, "; ".join(self.unknown))
        if not self.features:
            return without(_GATE, rule, Status.INCONCLUSIVE, limit, "there is no column to compare")
        measured = Measurement("columns compared", float(len(self.features)), n=len(self.rows))
        reason = f"{things(len(self.features), 'column')} hold the same kind of value on both sides"
        return GateResult(_GATE, rule, Status.PASSED, limit, reason, measured)

    def _furthest(self, rule: str, limit: Limit, metric: str, of: Callable[[Moved], Distance | None]) -> GateResult:
        """The column that is furthest from the reference by one distance."""
        rule = self.rule(rule)
        found = [(distance, moved) for moved in self.features if (distance := of(moved)) is not None]
        if not found:
            return without(_GATE, rule, Status.INCONCLUSIVE, limit, "no column could be compared")
        most = limit.value
        distance, moved = max(found, key=lambda pair: (_beyond(pair[0], most), pair[0].high))
        notes = [f"it moved most of {things(len(found), 'column')}"] if len(found) > 1 else []
        others = [other.column for one, other in found if other is not moved and _beyond(one, most)]
        if others:
            notes.append(f"also beyond it: {listed(others)}")
        measured = self._measured(f"{metric} of column '{moved.column}'", distance)
        return parts.distance(rule, limit, measured, distance.chance, [*notes, *self._told(moved, metric)])

    def _one(self, rule: str, limit: Limit, moved: Moved | None, lacking: tuple[Status, str] | None) -> GateResult:
        """Predictions or outcomes."""
        rule = self.rule(rule)
        if moved is None:
            status, reason = lacking or (Status.INCONCLUSIVE, "nothing could be compared")
            return without(_GATE, rule, status, limit, reason)
        measured = self._measured(f"PSI of the {moved.column}", moved.psi)
        return parts.distance(rule, limit, measured, moved.psi.chance, self._told(moved, "PSI"))

    def _measured(self, metric: str, distance: Distance) -> Measurement:
        source = "binned, against the reference"
        return Measurement(metric, distance.value, distance.low, distance.high, len(self.rows), source)

    def _told(self, moved: Moved, metric: str) -> list[str]:
        """How it moved, and when."""
        notes = []
        if moved.mean is not None and moved.mean_before is not None:
            notes.append(f"mean {number(moved.mean_before)} in the reference, {number(moved.mean)} here")
        worst = worst_window(moved, self.windows)
        if worst is not None and metric == "PSI":
            notes.append(f"most in {worst[0]} ({number(worst[1])})")
        return notes

    def _unseen(self, limit: Limit) -> GateResult:
        """The column with the largest share of rows whose category the reference lacks."""
        rule = self.rule("max_unseen")
        texts = [moved for moved in self.features if moved.unseen is not None]
        if not texts:
            return without(_GATE, rule, Status.SKIPPED, limit, "no column that was compared holds categories")
        worst = max(texts, key=lambda moved: moved.unseen or 0.0)
        metric = f"share of rows with an unseen category in column '{worst.column}'"
        note = f"such as {quoted(worst.example)}" if worst.example is not None else ""
        return judge(_GATE, rule, Measurement(metric, worst.unseen, n=len(self.rows)), limit, note=note)

    def _exhibits(self, rules: DriftGate) -> list[Exhibit]:
        """All columns in a table, and over time."""
        exhibits: list[Exhibit] = []
        features = sorted(self.features, key=lambda moved: -moved.psi.value)
        if features:
            exhibits.append(_table(f"The columns, {self.name} against reference", features))
        rows = [*filter(None, (self.outcomes, self.predictions)), *features]
        if rows and self.windows is not None and len(self.windows.names) > 1:
            limits = [rule.psi for rule in (rules.features, rules.predictions, rules.outcomes) if rule and rule.psi]
            title = f"PSI over time, {self.name} against reference"
            exhibits.append(heat(title, rows, self.windows, min(limits, default=None), rules.min_rows))
        return exhibits


def _beyond(distance: Distance, most: float) -> bool:
    """Whether it is beyond the limit and no accident."""
    return distance.value > most and distance.value > distance.chance


def _table(title: str, features: Sequence[Moved]) -> Table:
    infinite = [f"{count(moved.infinite)} in {moved.column}" for moved in features if moved.infinite]
    notes = [f"the {_MOST_LISTED} furthest of {count(len(features))}"] if len(features) > _MOST_LISTED else []
    if infinite:
        notes.append(f"infinite values count in the outermost bin: {listed(infinite)}")
    return Table(
        title,
        ("column", "PSI", "Wasserstein (SD)", "unseen", "missing", "missing before", "mean", "mean before"),
        tuple(
            (
                moved.column,
                moved.psi.value,
                moved.wasserstein.value if moved.wasserstein else None,
                moved.unseen,
                moved.missing,
                moved.missing_before,
                moved.mean,
                moved.mean_before,
            )
            for moved in features[:_MOST_LISTED]
        ),
        "; ".join(notes),
        ("unseen", "missing", "missing before"),
    )
