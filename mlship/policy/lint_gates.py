"""Contradictions inside the gates' sections: no limit, limits that cross, two ways where one is asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlship.policy.faults import Fault, plain
from mlship.policy.lint_data import used_gates
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
#: `module.Name`, or `module.*`.
_TYPE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(\.\*)?")

#: Gates by which a model that predicts nonsense can fail. Fairness and robustness are kept by one that always says no.
_QUALITY = ("metrics", "slices", "value", "agreement", "custom")


def lint_gates(subject: Subject) -> Iterable[Fault]:
    """All of them."""
    if not used_gates(subject) and not subject.has_broken(("gates",)):
        hint = "add contract, leakage or metrics"
        yield subject.error(("gates",), "no gate: a promotion would rest on nothing", hint, at_key=True)
    for check in (_quality, _security, _contract, _skew, _groups, _value, _custom, _twice):
        yield from check(subject)


def _quality(subject: Subject) -> Iterable[Fault]:
    """Labelled rows, and no gate that looks at whether the predictions are right, or at least like the champion's."""
    data, used = subject.policy.data, used_gates(subject)
    labelled = data is not None and bool(data.evaluation.target)
    if labelled and used and not set(used) & set(_QUALITY) and not subject.has_broken(("gates",)):
        hint = f"add metrics, such as `metrics: {{recall: {{min: 0.5}}}}`, or {', '.join(_QUALITY[1:])}"
        what = "no gate judges how good the model is: any model passes whose files and rows are in order"
        yield subject.warning(("gates",), what, hint, at_key=True)


def function_shape(subject: Subject, location: Location, function: str) -> Iterable[Fault]:
    """A function is named `module:function`; whether it is there, the references say."""
    if not _FUNCTION.fullmatch(function):
        shown = subject.shown(location) or plain(function, 40)
        yield subject.error(location, f"'{plain(shown, 60)}' is not module:function", 'such as "checks:freshness"')


def crossed(subject: Subject, here: Location, low: float | None, high: float | None) -> Iterable[Fault]:
    """No value is at least `min` and at most `max` when they are the wrong way round."""
    if low is not None and high is not None and low > high:
        yield subject.error((*here, "min"), f"min {low:g} is more than max {high:g}", "swap them?")


def _security(subject: Subject) -> Iterable[Fault]:
    here: Location = ("gates", "security")
    security = subject.policy.gates.security
    if not security.scan:
        what = "without a scan, loading the model runs whatever its files say"
        yield subject.warning((*here, "scan"), what, "list what you trust under allow_types instead")
    for index, name in enumerate(security.allow_types):
        if not _TYPE.fullmatch(name):
            location = (*here, "allow_types", index)
            shown = plain(subject.shown(location) or name, 60)
            yield subject.error(location, f"'{shown}' names no type", "write module.Name or module.*")


def _contract(subject: Subject) -> Iterable[Fault]:
    contract = subject.policy.gates.contract
    for name, rule in contract.columns.items() if contract else ():
        column: Location = ("gates", "contract", "columns", name)
        yield from crossed(subject, column, rule.min, rule.max)
        if rule.type in ("string", "boolean", "datetime") and (rule.min is not None or rule.max is not None):
            yield subject.error(
                (*column, "type"), f"a {rule.type} has no min or max", "remove them, or correct the type"
            )
        if rule.values == () and not subject.has_broken((*column, "values")):
            yield subject.error((*column, "values"), "no value is allowed", "list the values, or remove the key")


def _skew(subject: Subject) -> Iterable[Fault]:
    skew = subject.policy.gates.skew
    here: Location = ("gates", "skew")
    if skew is None or subject.has_broken(here):
        return
    sides = [name for name in ("offline", "online") if getattr(skew, name) is not None]
    if skew.feast is not None and sides:
        what = f"'skew' compares the two stores of feast, or offline with online: {sides[0]} would be left out"
        yield subject.error((*here, "feast"), what, "keep one of the two ways", at_key=True)
    elif skew.feast is None and len(sides) < 2:
        lacking = " and ".join(name for name in ("offline", "online") if name not in sides)
        yield subject.error(here, f"'skew' needs {lacking}", "or feast: a feature store with both", at_key=True)
    if sides and not skew.key:
        hint = "add key: the columns that name the entity, or the request, on both sides"
        yield subject.error(here, "'skew' needs key", hint, at_key=True)
    if skew.max_age is not None and skew.time is None and skew.feast is None:
        yield subject.error(
            (*here, "max_age"), "'max_age' needs time", "add time: the time column of both sides", at_key=True
        )


def _groups(subject: Subject) -> Iterable[Fault]:
    """Gates that compare parts of the rows judge at least one thing."""
    gates = subject.policy.gates
    for name, keys in (
        ("slices", ("min", "max", "max_gap", "max_drop")),
        ("fairness", ("max_difference", "min_ratio")),
    ):
        section = getattr(gates, name)
        here: Location = ("gates", name)
        if section is not None:
            yield from _limited(subject, here, section, keys)
    if gates.slices is not None:
        yield from crossed(subject, ("gates", "slices"), gates.slices.min, gates.slices.max)


def _limited(subject: Subject, here: Location, section: object, keys: Sequence[str]) -> Iterable[Fault]:
    if all(getattr(section, key) is None for key in keys) and not subject.has_broken(here):
        *most, last = keys
        yield subject.error(here, f"'{here[-1]}' has no limit", f"add {', '.join(most)} or {last}", at_key=True)


def _value(subject: Subject) -> Iterable[Fault]:
    value = subject.policy.gates.value
    here: Location = ("gates", "value")
    if value is None or subject.has_broken(here):
        return
    if value.payoff is None and value.function is None:
        hint = "add payoff (for two classes) or function (for numbers)"
        yield subject.error(here, "'value' does not know what a prediction earns", hint, at_key=True)
    elif value.payoff is not None and value.function is not None:
        what = "'value' is told twice what a prediction earns, by payoff and by function"
        yield subject.error((*here, "function"), what, "keep one", at_key=True)
    if value.function is not None:
        yield from function_shape(subject, (*here, "function"), value.function)
        if value.threshold is not None:
            what = "a threshold is for payoff: a function gets the predictions as they are"
            yield subject.error((*here, "threshold"), what, "remove it", at_key=True)
    yield from _limited(subject, here, value, ("min", "min_gain"))


def _custom(subject: Subject) -> Iterable[Fault]:
    for name, rule in subject.policy.gates.custom.items():
        here: Location = ("gates", "custom", name)
        if subject.has_broken(here):
            continue
        shown = plain(name, 40)
        if rule.function is None and not rule.command:
            yield subject.error(here, f"'{shown}' has nothing to run", "add function or command", at_key=True)
        elif rule.function is not None and rule.command:
            what = f"'{shown}' has two things to run, a function and a command"
            yield subject.error((*here, "command"), what, "keep one", at_key=True)
        if rule.function is not None:
            yield from function_shape(subject, (*here, "function"), rule.function)


def _twice(subject: Subject) -> Iterable[Fault]:
    """Lists of names in which one stands twice: most likely another one was meant."""
    gates, data = subject.policy.gates, subject.policy.data
    lists: list[tuple[Location, Sequence[object]]] = [(("data", "entity"), data.entity if data else ())]
    for gate, keys in _LISTS.items():
        section = getattr(gates, gate)
        lists += [(("gates", gate, key), getattr(section, key, ())) for key in keys]
    for name, rule in gates.contract.columns.items() if gates.contract else ():
        lists.append((("gates", "contract", "columns", name, "values"), rule.values or ()))
    for location, names in lists:
        seen: set[tuple[type, object]] = set()  # with the type: 1, 1.0 and true are three values
        for index, value in enumerate(names):
            if (type(value), value) in seen and not subject.has_broken(location):
                item = (*location, index)
                shown = plain(subject.shown(item) or str(value), 40)
                yield subject.error(item, f"'{shown}' is listed twice", "remove one, or name another")
            seen.add((type(value), value))


_LISTS = {
    "security": ("allow_types",),
    "leakage": ("unavailable", "vouched"),
    "skew": ("key", "columns"),
    "drift": ("columns",),
    "slices": ("by",),
    "fairness": ("by",),
    "agreement": ("by",),
}
