"""What a delivery needs beside itself: addresses and secrets. Only the policy knows them, and no file gets them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlship.monitor.acting import plan
from mlship.monitor.acting.delivery import Delivery

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy


def way(loaded: LoadedPolicy, delivery: Delivery) -> dict[str, Any] | None:
    """Where a delivery goes, and how; None when the policy no longer says so.

    It goes to the program that sends by a pipe, and nowhere else.
    """
    policy = loaded.policy
    if delivery.action == "notify":
        url = plan.places(policy).get(delivery.place)
        if url is None:
            return None
        return {"url": url, "contact": policy.owner.contact, "runbook": policy.owner.runbook or ""}
    if delivery.action == "retrain":
        return _training(loaded, delivery.place)
    return {} if plan.wanted(policy, delivery.action) else None


def _training(loaded: LoadedPolicy, place: str) -> dict[str, Any] | None:
    item = plan.trainings(loaded.policy).get(place)
    if item is None:
        return None
    if item.github is not None:
        return {
            "by": "github",
            "api": item.api,
            "repository": item.github,
            "workflow": item.workflow or "",
            "ref": item.ref,
            "token": item.token or os.environ.get("GITHUB_TOKEN") or "",
            "timeout": item.timeout,
        }
    if item.webhook is not None:
        return {"by": "webhook", "url": item.webhook, "timeout": item.timeout}
    directory = str(loaded.path.absolute().parent)
    return {"by": "command", "command": item.command or "", "directory": directory, "timeout": item.timeout}
