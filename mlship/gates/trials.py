"""One policy test run: its figures bound to the policy's rules, judged, and compared with what it expects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlship.gates import trial
from mlship.gates.trial import Given, Rule
from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, Source, plain
from mlship.policy.schema import Policy
from mlship.policy.tree import Scalar
from mlship.policy.trial import Figure, Name, Trial
from mlship.types import GateResult, Status, worst

#: Gates without a rule that a figure decides.
_WITHOUT = ("security", "custom", "ownership")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise than expected."""

    what: str
    """`verdict`, `metrics recall min`, `rollout`."""
    expected: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test, run."""

    trial: Trial
    differences: tuple[Difference, ...]
    results: tuple[GateResult, ...]
    looked: tuple[str, str] | None
    """What a look at the rollout decided, and why; None when the test has none."""

    @property
    def verdict(self) -> Status:
        """The worst status of all rules."""
        return worst([result.status for result in self.results])


@dataclass(frozen=True, slots=True)
class Bench:
    """A policy with the rules that figures are judged by."""

    policy: Policy
    resolve: Callable[[str], Path]
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, policy: Policy, resolve: Callable[[str], Path]) -> Bench:
        """Paths of the policy are made absolute by `resolve`."""
        return cls(policy, resolve, tuple(trial.rules(policy)))

    def run(self, test: Trial, source: Source) -> Outcome | list[Fault]:
        """The test's outcome, or the faults that keep it from being run."""
        given, faults = self._bound(test, source)
        faults += [
            fault for expected in test.gates for fault in self._unknown(expected.gate, expected.rule, test, source)
        ]
        if faults:
            return faults
        results = [
            rule.judge(given.get((rule.gate, rule.name), Given()), has_champion=test.has_champion)
            for rule in self.rules
        ]
        results += self._ownership(test)
        looked = None
        if test.look is not None:
            from mlship.rollout import trial as rollout

            found = rollout.look(self.policy, test.look, source)
            if isinstance(found, Fault):
                return [found]
            looked = found
        return Outcome(test, tuple(_compare(test, results, looked)), tuple(results), looked)

    def _bound(self, test: Trial, source: Source) -> tuple[dict[tuple[str, str], Given], list[Fault]]:
        given: dict[tuple[str, str], Given] = {}
        faults: list[Fault] = []
        for figure in test.given:
            unknown = list(self._unknown(figure.gate, figure.rule, test, source, judged=True))
            faults += unknown
            if not unknown:
                rule = next(one for one in self.rules if (one.gate, one.name) == (figure.gate.text, figure.rule.text))
                found = _given(rule, figure, source)
                if isinstance(found, Fault):
                    faults.append(found)
                else:
                    given[rule.gate, rule.name] = found
        return given, faults

    def _unknown(
        self, gate: Name, rule: Name | None, test: Trial, source: Source, *, judged: bool = False
    ) -> Iterator[Fault]:
        """The fault of a gate or rule that the policy does not have."""
        names = {one.gate: [two.name for two in self.rules if two.gate == one.gate] for one in self.rules}
        if test.today is not None and not judged:
            names["ownership"] = ["contact", "review_by", "runbook"]
        shown = plain(gate.text, 40)
        if gate.text not in names:
            if gate.text == "ownership":
                what, hint = "a date decides about the ownership, not a figure", "add `today: 2027-06-30` to the test"
            elif gate.text in _WITHOUT:
                what, hint = f"no figure decides about '{shown}'", "leave it out: `mlship evaluate` judges it"
            else:
                what = f"the policy has no gate '{shown}'"
                hint = suggestion(gate.text, list(names)) or f"it has {', '.join(names) or 'none that figures decide'}"
            yield source.fault(gate.spot, what, hint)
        elif rule is not None and rule.text not in names[gate.text]:
            what = f"the policy has no rule '{plain(rule.text, 40)}' of the gate '{shown}'"
            known = names[gate.text]
            yield source.fault(rule.spot, what, suggestion(rule.text, known) or f"it has {', '.join(known)}")

    def _ownership(self, test: Trial) -> list[GateResult]:
        """The ownership gate on the test's day; without one, nobody asks."""
        if test.today is None:
            return []
        from mlship.gates.ownership import Ownership

        return Ownership().on(self.policy.owner, test.today, self.resolve)


def _given(rule: Rule, figure: Figure, source: Source) -> Given | Fault:
    """A figure in the unit of its rule's limit."""
    numbers: dict[str, float] = {}
    for key, node in figure.fields.items():
        try:
            numbers[key] = _number(rule, key, node)
        except ValueError as error:
            what = f"'{key}': {getattr(error, 'what', None) or error}"
            return source.fault(node.spot, what, getattr(error, "hint", "") or f"the limit is {rule.limit}")
    value, low, high = (numbers.get(key) for key in ("value", "low", "high"))
    if value is not None and not (value if low is None else low) <= value <= (value if high is None else high):
        return source.fault(
            figure.fields["value"].spot, "the value is not inside its own interval", "low <= value <= high"
        )
    return Given(
        value,
        low,
        high,
        numbers.get("champion"),
        int(numbers.get("n", trial.ROWS)),
        int(numbers.get("groups", 2)),
        numbers.get("chance", 0.0),
    )


def _number(rule: Rule, key: str, node: Scalar) -> float:
    if key not in ("n", "groups"):
        return rule.number(node.value)
    least = 1 if key == "n" else 2
    if not isinstance(node.value, int) or node.value < least:
        raise ValueError(f"must be a whole number, {least} or more")
    return node.value


def _compare(test: Trial, results: list[GateResult], looked: tuple[str, str] | None) -> Iterator[Difference]:
    verdict = worst([result.status for result in results])
    if test.verdict is not None and verdict is not test.verdict:
        deciding = next((result for result in results if result.status is verdict), None)
        reason = f"{deciding.gate} {deciding.rule}: {deciding.reason}" if deciding else "no rule was judged"
        if verdict is Status.PASSED:
            reason = "every rule that was judged keeps its limit"
        yield Difference("verdict", test.verdict, verdict, reason)
    for expected in test.gates:
        found = [
            result
            for result in results
            if result.gate == expected.gate.text and (expected.rule is None or result.rule == expected.rule.text)
        ]
        status = worst([result.status for result in found]) if expected.rule is None else found[0].status
        if status is not expected.status:
            deciding = next((result for result in found if result.status is status), found[0])
            what = expected.gate.text + (f" {expected.rule.text}" if expected.rule else "")
            said = deciding.reason if expected.rule else f"{deciding.rule}: {deciding.reason}"
            yield Difference(what, expected.status, status, said)
    if looked is not None and test.rollout is not None and looked[0] != test.rollout:
        yield Difference("rollout", test.rollout, looked[0], looked[1])
