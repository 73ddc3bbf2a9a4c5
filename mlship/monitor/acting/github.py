"""Starts a workflow of GitHub's by `workflow_dispatch`; after an attempt that was cut short, looks first for its run.

GitHub's API takes no key that would make a request idempotent, and answers without the run that it has started. So the
request's id is an input of the workflow, which puts it into its `run-name`: by that its run is found again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from mlship.monitor.acting.delivery import Outcome
from mlship.monitor.acting.plan import iso
from mlship.rollout import webhook
from mlship.rollout.hooks import clean

#: Version of GitHub's API, as its header names it.
API = "2022-11-28"
#: Seconds by which GitHub's clock and ours may differ, and that a run may need to appear.
_SKEW = 120.0
#: Bytes of a list of 100 runs; pages of it that are looked through.
_MOST, _PAGES = 32_000_000, 5
#: Characters of an input that GitHub surely takes.
_LONGEST = 1000
_REQUEST = re.compile(r"mlship-[0-9a-f]{16}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Way:
    """Which workflow, and how it is reached."""

    api: str
    repository: str
    workflow: str
    ref: str
    token: str = field(repr=False)
    timeout: float

    def __str__(self) -> str:
        return f"{self.workflow} of {self.repository} on {self.ref}"


def start(
    way: Way, request: str, inputs: Mapping[str, str], *, unsure: float | None, begin: Callable[[], None]
) -> Outcome:
    """Start the workflow, unless an attempt before may have done so and its run is there. Never raises for GitHub.

    Parameters
    ----------
    request
        The id of the request: an input (`request`), and part of the run's name.
    inputs
        The other inputs.
    unsure
        Unix time of an attempt that may have arrived; None when there was none.
    begin
        Called right before the request is sent.
    """
    if not way.token:
        return Outcome(
            "refused",
            f"{way}: no token; set GITHUB_TOKEN, or name another variable as `token` of the policy's retrain",
        )
    if not _REPOSITORY.fullmatch(way.repository):
        return Outcome("refused", f"{way.repository} is no OWNER/NAME")
    if unsure is not None and (found := _look(way, request, unsure)) is not None:
        return found
    begin()
    given = {name: text[:_LONGEST] for name, text in {"request": request, **inputs}.items()}
    document = json.dumps({"ref": way.ref, "inputs": given}).encode()
    answer = webhook.post(_url(way, "dispatches"), document, way.timeout, _headers(way))
    cleared = unsure is not None
    if answer.agreed:
        return Outcome("done", f"{way} was started")
    said = f"{way}: GitHub {answer.how}{_reason(way, answer)}"
    if answer.maybe or answer.status >= 500:
        return Outcome("maybe", said, cleared=cleared)
    away = not answer.status or answer.status == 429
    return Outcome("away" if away else "refused", said, cleared=cleared)


def _look(way: Way, request: str, at: float) -> Outcome | None:
    """What an earlier attempt has led to; None when there is surely no run of it.

    A run of that very moment whose name tells no request, as when the workflow has no `run-name`, is taken as ours:
    rather no second training than two.
    """
    nameless = ""
    for page in range(1, _PAGES + 1):
        query = {
            "event": "workflow_dispatch",
            "created": f">={iso(at - _SKEW)}",
            "per_page": "100",
            "page": str(page),
        }
        answer = webhook.get(f"{_url(way, 'runs')}?{urlencode(query)}", way.timeout, _headers(way), _MOST)
        if not answer.agreed:
            said = f"{way} may have been started; GitHub cannot be asked for its runs: it {answer.how}"
            return Outcome("later", said + _reason(way, answer))
        try:
            runs = json.loads(answer.body)["workflow_runs"]
            for run in runs:
                name = f"{run.get('display_title') or ''} {run.get('name') or ''}"
                if request in name:
                    return Outcome("done", f"{way} was started: {_address(run)}")
                if not _REQUEST.search(name) and _near(run.get("created_at"), at, way.timeout):
                    nameless = _address(run)
        except (ValueError, KeyError, TypeError, AttributeError):
            return Outcome("later", f"{way} may have been started; GitHub's list of its runs cannot be read")
        if len(runs) < 100:
            break
    if nameless:
        hint = "let its `run-name` have `${{ inputs.request }}` in it, so that this is sure"
        return Outcome("done", f"{way} was started, it seems: {nameless} began at that moment; {hint}")
    return None


def _address(run: Mapping[str, object]) -> str:
    return clean(str(run.get("html_url") or "a run of it"))


def _near(created: object, at: float, timeout: float) -> bool:
    """Whether a run began about when the attempt was made; one that does not say when may have."""
    try:
        began = datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return True
    return at - _SKEW <= began <= at + timeout + _SKEW


def _url(way: Way, what: str) -> str:
    workflow = quote(way.workflow, safe="")
    return f"{way.api.rstrip('/')}/repos/{way.repository}/actions/workflows/{workflow}/{what}"


def _headers(way: Way) -> dict[str, str]:
    return {
        "accept": "application/vnd.github+json",
        "authorization": f"Bearer {way.token}",
        "x-github-api-version": API,
    }


def _reason(way: Way, answer: webhook.Answer) -> str:
    """Why, in GitHub's words; without the token, should they hold it."""
    try:
        text = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.line
    said = clean(text.replace(way.token, "********")) if way.token else clean(text)
    return f": {said}" if said else ""
