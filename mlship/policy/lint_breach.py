"""Lint of `monitor.on_breach`: one thing an item, somebody to tell, something to start, and no secret written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from mlship.policy.faults import Fault, is_named_only
from mlship.policy.lint_hooks import command_faults, webhook_faults
from mlship.policy.monitor import Monitor, OnBreach, Retrain
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find
from mlship.policy.units import format_duration

_HERE: Location = ("monitor", "on_breach")
_THINGS = ("notify", "retrain", "rollback", "pause")
_WAYS = ("github", "webhook", "command")
#: Keys of `retrain` that are about GitHub alone.
_OF_GITHUB = ("workflow", "ref", "token", "api")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def lint_breach(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """All of them."""
    if subject.has_broken(_HERE):
        return
    for index, item in enumerate(monitor.on_breach):
        here: Location = (*_HERE, index)
        asked = [name for name in _THINGS if getattr(item, name) is not None]
        if len(asked) != 1:
            said = f"this is {' and '.join(asked)} at once" if asked else "nothing follows this breach"
            yield subject.error(here, said, f"give each item exactly one of {', '.join(_THINGS)}")
            continue
        if item in monitor.on_breach[:index]:
            yield subject.error(here, f"this {asked[0]} stands here twice", "keep one")
            continue
        yield from _possible(subject, here, asked[0])
        if item.retrain is not None:
            yield from _retrain(subject, here, item.retrain, monitor)
        yield from _when(subject, here, asked[0], item, monitor)


def _possible(subject: Subject, here: Location, asked: str) -> Iterable[Fault]:
    """Whether there is anything to tell it to, or to do it with."""
    policy = subject.policy
    if asked == "notify" and not policy.notify and not subject.written_at(("notify", 0)):
        what = "nobody is named who could be told"
        yield subject.error(here, what, 'add `notify: ["${NAME}"]` at the top level: apprise URLs in variables')
    if asked in ("rollback", "pause") and policy.rollout is None and not subject.written_at(("rollout",)):
        what = f"there is nothing to {'go back' if asked == 'rollback' else 'pause'}: no rollout is in this policy"
        yield subject.warning(here, what, "mlship moves traffic only where it rolls out; add rollout, or take it out")


def _retrain(subject: Subject, here: Location, retrain: Retrain, monitor: Monitor) -> Iterable[Fault]:
    place: Location = (*here, "retrain")
    ways = [name for name in _WAYS if getattr(retrain, name) is not None]
    if len(ways) != 1:
        said = f"training is started by {' and by '.join(ways)}" if ways else "this starts no training"
        yield subject.error(place, said, f"give it exactly one of {', '.join(_WAYS)}", at_key=True)
        return
    if retrain.command is not None:
        yield from command_faults(subject, (*place, "command"), retrain.command)
    if retrain.webhook is not None:
        yield from _webhook(subject, (*place, "webhook"), retrain.webhook)
    if retrain.github is not None:
        yield from _github(subject, place, retrain)
    else:
        for key in _OF_GITHUB:
            if subject.written_at((*place, key)):
                what = f"'{key}' is for github, and this is a {ways[0]}"
                yield subject.error((*place, key), what, "take it out", at_key=True)
    yield from _token(subject, place, retrain)
    if retrain.cool_down < monitor.window:
        what = f"{format_duration(retrain.cool_down)} is less than a window, {format_duration(monitor.window)}"
        yield subject.warning((*place, "cool_down"), what, "a training needs time to show in the traffic")


def _webhook(subject: Subject, here: Location, url: str) -> Iterable[Fault]:
    node = find(subject.tree, here)
    written = isinstance(node, Scalar) and not node.from_environment
    if written and _has_query(url):
        what = "a secret is named, never written: whoever reads this file could start trainings"
        yield subject.error(here, what, 'put the whole URL into the environment: "${RETRAIN_URL}"')
        return
    yield from webhook_faults(
        subject, here, url, "https://example.com/retrain", "anybody on the way can read and change what is asked for"
    )


def _has_query(url: str) -> bool:
    """Whether a URL carries more than a place: a query is where services put their tokens."""
    try:
        return bool(urlsplit(url).query)
    except ValueError:
        return False


def _github(subject: Subject, place: Location, retrain: Retrain) -> Iterable[Fault]:
    if retrain.workflow is None:
        if not subject.written_at((*place, "workflow")):
            hint = "add workflow: its file name, such as mlship-retrain.yml"
            yield subject.error((*place, "github"), "no workflow is named", hint, at_key=True)
    elif not retrain.workflow.endswith((".yml", ".yaml")) and not retrain.workflow.isdigit():
        yield subject.error((*place, "workflow"), "this names no workflow", "its file name, such as mlship-retrain.yml")
    elif "/" in retrain.workflow:
        name = retrain.workflow.rpartition("/")[2]
        yield subject.error((*place, "workflow"), "GitHub wants the file's name only", f"write {name}")
    yield from _api(subject, (*place, "api"), retrain.api)


def _api(subject: Subject, here: Location, url: str) -> Iterable[Fault]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    example = "https://api.github.com, or https://HOST/api/v3 of a server of your own"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        yield subject.error(here, "this is no address of an API", example)
    elif parts.username is not None or parts.password is not None:
        yield subject.error(here, "user and password do not belong into a URL", 'write token: "${NAME}"')
    elif parts.query or parts.fragment:
        yield subject.error(here, "an address only: paths are appended to it", example)
    elif host in ("github.com", "www.github.com"):
        yield subject.error(here, "this is the website, not the API", "write https://api.github.com")
    elif parts.scheme == "http" and host not in _LOCAL:
        yield subject.warning(here, "over plain http anybody on the way can read the token", "https?")


def _token(subject: Subject, place: Location, retrain: Retrain) -> Iterable[Fault]:
    here: Location = (*place, "token")
    node = find(subject.tree, here)
    if retrain.token is not None and isinstance(node, Scalar) and not is_named_only(node.written):
        what = "a secret is named, never written: whoever reads this file can start workflows"
        yield subject.error(here, what, 'write "${NAME}", set the variable, and change the secret')


def _when(subject: Subject, here: Location, asked: str, item: OnBreach, monitor: Monitor) -> Iterable[Fault]:
    """Breaches that are named and never judged lead to nothing."""
    place: Location = (*here, asked, "when")
    kinds: tuple[str, ...] = getattr(item, asked).on
    judged = _judged(monitor)
    if subject.written_at(place):
        if not kinds and asked != "notify":
            what = f"no breach leads to this {asked}"
            yield subject.error(place, what, "name some, such as when: [performance]", at_key=True)
        for index, kind in enumerate(kinds):
            if kind in kinds[:index]:
                yield subject.error((*place, index), f"'{kind}' stands here twice", "keep one")
            elif judged and kind not in judged:
                what = f"'{kind}' leads to nothing: it is not judged"
                yield subject.warning((*place, index), what, f"add {_LIMITS[kind]} to monitor, or take it out")
    elif judged and kinds and not judged & set(kinds):
        what = f"this {asked} never happens: none of {', '.join(kinds)} is judged"
        hint = f"add a limit of them, or write `when: [{', '.join(sorted(judged))}]`"
        yield subject.warning(here, what, hint)


#: What makes a kind of breach possible.
_LIMITS = {
    "features": "features: {psi: 0.2}",
    "predictions": "predictions: {psi: 0.1}",
    "performance": "performance: {recall: {min: 0.6}}",
    "estimate": "estimate: true and a limit of performance",
    "value": "value: {min: 0}",
    "age": "max_age: 180d",
    "silence": "max_silence: 6h",
}


def _judged(monitor: Monitor) -> set[str]:
    limits = {
        "features": monitor.features is not None,
        "predictions": monitor.predictions is not None,
        "performance": bool(monitor.performance),
        "estimate": monitor.estimate and bool(monitor.performance),
        "value": monitor.value is not None,
        "age": monitor.max_age is not None,
        "silence": monitor.max_silence is not None,
    }
    return {kind for kind, there in limits.items() if there}
