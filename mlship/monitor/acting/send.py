"""One attempt of one delivery: where it goes, what is sent, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from mlship.errors import MlshipError
from mlship.home import Home
from mlship.monitor.acting.delivery import Delivery, Outcome, Told
from mlship.policy.urls import shown_host
from mlship.rollout import webhook
from mlship.rollout.hooks import clean

#: Called right before something is sent.
Begin = Callable[[], None]


def attempt(home: Home, model: str, delivery: Delivery, way: Mapping[str, Any], begin: Begin) -> Outcome:
    """Make it, and tell what came of it; whatever goes wrong is an outcome.

    Parameters
    ----------
    way
        What a delivery needs beside itself, secrets among it, as `deliver.way` gives it.
    """
    try:
        if delivery.action == "notify":
            return _notify(model, delivery, way, begin)
        if delivery.action == "rollback":
            from mlship.monitor.acting.hands import roll_back

            return roll_back(home, model, delivery, begin)
        if delivery.action == "pause":
            from mlship.monitor.acting.hands import pause

            return pause(home, model, begin)
        if way["by"] == "github":
            return _github(delivery, way, begin)
        return _webhook(delivery, way, begin) if way["by"] == "webhook" else _command(delivery, way, begin)
    except MlshipError as error:
        return Outcome("refused", f"{error.what}" + (f"; next: {error.hint}" if error.hint else ""))


def inputs(delivery: Delivery) -> dict[str, str]:
    """What a training is told: `since` and `until` (ISO 8601) of the data, `reason`, `model`, `version`, and so on."""
    return {"request": delivery.id, **delivery.facts}


def _notify(model: str, delivery: Delivery, way: Mapping[str, Any], begin: Begin) -> Outcome:
    from mlship.notify import UNREACHED, Event, Message, body, service, title
    from mlship.report.monitor_words import subject

    kind = cast("Told", delivery.what)
    text = delivery.facts["text"]
    if delivery.maybe and delivery.tried is not None:
        when = f"{datetime.fromtimestamp(delivery.tried, UTC):%Y-%m-%d %H:%M:%S} UTC"
        text = f"{text}\n(This may be a repeat: whether the message of {when} arrived is not known.)"
    about = subject(delivery.kind, delivery.subject)
    event = Event(kind, model, delivery.version, text, float(delivery.facts["at"]), about)
    to = service(way["url"])
    message = Message(title(event), body(event, way["contact"], way["runbook"]), kind)
    begin()
    why = to.send(message)
    if not why:
        return Outcome("done", f"{to.name} was told")
    said = f"{to.name}: {why}"
    status = why.rpartition(" ")[2]
    if status.isdecimal():
        if status.startswith("5") and status != "503":
            return Outcome("maybe", said)
        return Outcome("away" if status in ("429", "503") else "refused", said)
    return Outcome("away" if why == UNREACHED else "maybe", said)


def _github(delivery: Delivery, way: Mapping[str, Any], begin: Begin) -> Outcome:
    from mlship.monitor.acting import github

    names = ("api", "repository", "workflow", "ref", "token", "timeout")
    to = github.Way(**{name: way[name] for name in names})
    unsure = delivery.tried if delivery.maybe else None
    return github.start(to, delivery.id, delivery.facts, unsure=unsure, begin=begin)


def _webhook(delivery: Delivery, way: Mapping[str, Any], begin: Begin) -> Outcome:
    """The same key at every attempt: whoever takes it twice can tell."""
    url = way["url"]
    where = shown_host(url) or "the webhook"
    begin()
    headers = {"idempotency-key": delivery.id}
    answer = webhook.post(url, json.dumps(inputs(delivery)).encode(), way["timeout"], headers)
    if answer.agreed:
        return Outcome("done", f"{where} has taken it")
    line = clean(webhook.without(url, answer.line))
    said = f"{where} {answer.how}" + (f": {line}" if line else "")
    if answer.maybe or (answer.status >= 500 and answer.status != 503):
        return Outcome("maybe", said)
    return Outcome("away" if answer.status in (0, 429, 503) else "refused", said)


def _command(delivery: Delivery, way: Mapping[str, Any], begin: Begin) -> Outcome:
    """Only the program can tell whether it was asked before: it gets the request's id, and whether it may have been."""
    from mlship.policy.commands import words
    from mlship.rollout import hooks
    from mlship.rollout.program import Running

    try:
        arguments = words(way["command"])
    except ValueError as error:
        return Outcome("refused", f"the command of the policy's retrain cannot be run: {error}")
    facts = {**inputs(delivery), "repeat": "maybe" if delivery.maybe else ""}
    begin()
    ended = hooks.run(Running(), arguments, Path(way["directory"]), way["timeout"], facts)
    if ended.agreed:
        return Outcome("done", f"{Path(arguments[0]).name} has taken it")
    late = "no answer" in ended.how or "signal" in ended.how
    return Outcome("maybe" if late else "refused", hooks.no(arguments, ended))
