"""Policy tests as they are written: a YAML file that gives figures and expects verdicts, read with positions."""

from __future__ import annotations

from collections.abc import Sequence as Items
from datetime import date
from pathlib import Path

from mlship.policy.explain import suggestion
from mlship.policy.faults import START, Fault, Source, Spot, plain
from mlship.policy.text import read_text
from mlship.policy.tree import Mapping, Node, Scalar, Sequence
from mlship.policy.trial import COUNTS, FIELDS, VERDICTS, Expected, Figure, Look, Name, Trial, TrialFile
from mlship.policy.yaml import parse
from mlship.types import Status

_FILE = ("policy", "given", "tests")
_TEST = ("name", "given", "champion", "today", "rollout", "expect")
_ROLLOUT = ("step", "seconds", "stable", "canary")
_STATUSES = tuple(status.value for status in Status)


class _FaultError(Exception):
    """A value cannot be used; its fault says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def read(path: Path) -> TrialFile | list[Fault]:
    """The tests in the file at `path`, or every fault that keeps them from being read. Never raises."""
    text = read_text(path, str(path))
    if isinstance(text, Fault):
        return [text]
    source = Source.of(str(path), text)
    if not text.strip():
        return [source.fault(START, "the file is empty", "it begins with `policy: mlship.yaml`")]
    tree, faults = parse(text, source)
    if tree is None or faults:
        return faults
    reader = _Reader(source)
    found = reader.file(path, tree)
    return (
        found if found is not None and not reader.faults else sorted(reader.faults, key=lambda one: (one.line, one.col))
    )


class _Reader:
    """Reads values off the tree, and keeps the faults."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Fault] = []

    def file(self, path: Path, tree: Node) -> TrialFile | None:
        """The whole file; None when nothing of it can be used."""
        try:
            top = self._section(tree, "a file of policy tests", _FILE)
            at, policy = self._needed(top, "policy", tree.spot, "add `policy: mlship.yaml`, relative to this file")
            name = self._text(policy, "policy")
            spot, listed = self._needed(top, "tests", tree.spot, "add `tests:` and a list")
            given = self._given(top)
        except _FaultError as error:
            self.faults.append(error.fault)
            return None
        items = listed.items if isinstance(listed, Sequence) else ()
        if not items:
            self.faults.append(self.source.fault(spot, "'tests' must be a list of tests", "- {name: ..., expect: ...}"))
        trials = [trial for item in items if (trial := self._trial(item, given)) is not None]
        for index, trial in enumerate(trials):
            if trial.name in [other.name for other in trials[:index]]:
                what = f"a second test is called '{plain(trial.name)}'"
                self.faults.append(self.source.fault(trial.spot, what, "give it a name of its own"))
        return TrialFile(path, self.source, path.parent / name, at, tuple(trials))

    def _trial(self, node: Node, shared: Items[Figure]) -> Trial | None:
        try:
            test = self._section(node, "a test", _TEST)
            spot, name = self._needed(test, "name", node.spot, "say in a few words what it shows")
            told = self._text(name, "name")
            _, expect = self._needed(test, "expect", node.spot, "add `expect: {verdict: passed}`")
            verdict, gates, rollout = self._expected(expect)
            own = self._given(test)
            look = self._look(test["rollout"][1]) if "rollout" in test else None
            if (look is None) != (rollout is None):
                where = test["rollout"][0] if look is not None else expect.spot
                hint = "add `rollout: advance` to `expect`" if look is not None else "add `rollout: {canary: ...}`"
                raise self._fault(where, "figures of a rollout and what to expect of it belong together", hint)
            return Trial(
                told,
                spot,
                _over(shared, own),
                self._champion(test),
                self._today(test),
                look,
                verdict,
                gates,
                rollout,
            )
        except _FaultError as error:
            self.faults.append(error.fault)
            return None

    def _given(self, section: dict[str, tuple[Spot, Node]]) -> tuple[Figure, ...]:
        if "given" not in section:
            return ()
        figures = []
        gates = self._section(section["given"][1], "'given'", None)
        for gate, (spot, rules) in gates.items():
            for rule, (at, node) in self._section(rules, f"'{plain(gate, 40)}'", None).items():
                figures.append(Figure(Name(gate, spot), Name(rule, at), self._fields(node)))
        return tuple(figures)

    def _fields(self, node: Node) -> dict[str, Scalar]:
        """`0.64` is short for `{value: 0.64}`, and `null` for what was not measured."""
        if isinstance(node, Scalar):
            return {} if node.value is None else {"value": node}
        fields = {}
        for key, (spot, value) in self._section(node, "a figure", FIELDS).items():
            if not isinstance(value, Scalar) or isinstance(value.value, bool):
                raise self._fault(spot, f"'{key}' must be a number", "in the unit of the limit: 0.64, 1% or 180ms")
            if value.value is not None:
                fields[key] = value
        if fields and "value" not in fields:
            raise self._fault(node.spot, "a figure without a value", "add `value:`, or write null: not measured")
        return fields

    def _expected(self, node: Node) -> tuple[Status | None, tuple[Expected, ...], str | None]:
        verdict: Status | None = None
        rollout: str | None = None
        gates: list[Expected] = []
        for key, (spot, value) in self._section(node, "'expect'", None).items():
            name = Name(key, spot)
            if key == "rollout":
                rollout = self._word(value, VERDICTS)
            elif key == "verdict":
                verdict = Status(self._word(value, _STATUSES))
            elif isinstance(value, Mapping):
                for rule, (at, status) in value.entries.items():
                    gates.append(Expected(name, Name(rule, at), Status(self._word(status, _STATUSES))))
            else:
                gates.append(Expected(name, None, Status(self._word(value, _STATUSES))))
        if verdict is None and not gates and rollout is None:
            raise self._fault(node.spot, "a test that expects nothing", "add `verdict: passed`, or a gate")
        return verdict, tuple(gates), rollout

    def _look(self, node: Node) -> Look:
        section = self._section(node, "'rollout'", _ROLLOUT)
        step = None
        if "step" in section:
            step = self._whole(section["step"][1], "step"), section["step"][1].spot
        seconds = section["seconds"][1] if "seconds" in section else None
        if seconds is not None and not isinstance(seconds, Scalar):
            raise self._fault(seconds.spot, "'seconds' must be a duration", "such as 10m")
        arms = {}
        for arm in ("stable", "canary"):
            _, counts = self._needed(section, arm, node.spot, f"add `{arm}: {{requests: 1000, errors: 2}}`")
            known = self._section(counts, f"'{arm}'", COUNTS)
            arms[arm] = {key: (self._whole(value, key), value.spot) for key, (_, value) in known.items()}
            self._consistent(arms[arm])
        return Look(node.spot, step, seconds, arms["stable"], arms["canary"])

    def _consistent(self, counts: dict[str, tuple[int, Spot]]) -> None:
        for part, whole in (
            ("errors", "requests"),
            ("timeouts", "errors"),
            ("refused", "requests"),
            ("wrong", "labels"),
        ):
            if part in counts and counts[part][0] > counts.get(whole, (0, START))[0]:
                raise self._fault(counts[part][1], f"more {part} than {whole}", f"{part} are among the {whole}")

    def _champion(self, test: dict[str, tuple[Spot, Node]]) -> bool:
        if "champion" not in test:
            return True
        _, node = test["champion"]
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            raise self._fault(node.spot, "'champion' must be true or false", "false: the first promotion")
        return node.value

    def _today(self, test: dict[str, tuple[Spot, Node]]) -> date | None:
        if "today" not in test:
            return None
        text = self._text(test["today"][1], "today")
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise self._fault(test["today"][1].spot, f"'{plain(text, 20)}' is not a date", "write 2027-06-30") from None

    def _section(self, node: Node, what: str, known: tuple[str, ...] | None) -> dict[str, tuple[Spot, Node]]:
        if not isinstance(node, Mapping):
            hint = f"it has the keys {', '.join(known)}" if known else "write `name: {...}`"
            raise self._fault(node.spot, f"{what} must be a section", hint)
        for key, (spot, _) in node.entries.items():
            if known is not None and key not in known:
                hint = suggestion(key, list(known)) or f"known here: {', '.join(known)}"
                raise self._fault(spot, f"unknown key '{plain(key, 40)}'", hint)
        return node.entries

    def _needed(self, section: dict[str, tuple[Spot, Node]], key: str, spot: Spot, hint: str) -> tuple[Spot, Node]:
        if key not in section:
            raise self._fault(spot, f"missing key '{key}'", hint)
        return section[key][1].spot, section[key][1]

    def _text(self, node: Node, key: str) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
            raise self._fault(node.spot, f"'{key}' must be text", "")
        return node.value

    def _word(self, node: Node, known: tuple[str, ...]) -> str:
        word = node.value if isinstance(node, Scalar) else None
        if word not in known:
            shown = f"'{plain(str(word), 30)}'" if isinstance(node, Scalar) else "this"
            hint = suggestion(str(word), list(known)) or f"write {' or '.join(known)}"
            raise self._fault(node.spot, f"{shown} is no verdict", hint)
        return str(word)

    def _whole(self, node: Node, key: str) -> int:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._fault(node.spot, f"'{key}' must be a whole number, 0 or more")
        return value

    def _fault(self, spot: Spot, what: str, hint: str = "") -> _FaultError:
        return _FaultError(self.source.fault(spot, what, hint))


def _over(shared: Items[Figure], own: Items[Figure]) -> tuple[Figure, ...]:
    """The file's figures, those of the test in their place."""
    found = {(figure.gate.text, figure.rule.text): figure for figure in (*shared, *own)}
    return tuple(found.values())
