"""Who is told what a rollout or the monitor does: the events, and what tells them."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from mlship.errors import PolicyError
from mlship.outbox import Outbox
from mlship.policy.urls import scheme_of, split_urls

if TYPE_CHECKING:
    import apprise

#: What people are told of.
Kind = Literal[
    "started",
    "approval",
    "promoted",
    "rolled_back",
    "aborted",
    "paused",
    "halted",
    "lease_expired",
    "incident_opened",
    "incident_worsened",
    "incident_resolved",
    "retraining",
]

#: Seconds for one message, with all its attempts.
LIMIT = 30.0
#: Characters of a message.
_LONGEST = 2000
#: What is said of a service that nothing has reached.
UNREACHED = "no connection"
#: How requests and urllib3 say that a connection was not made, so that nothing was sent.
_UNREACHED = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|CERTIFICATE_VERIFY_FAILED")
_LIST = "apprise's documentation lists the services and their URLs"
_TITLES: dict[Kind, str] = {
    "started": "rollout of version {version} has started",
    "approval": "version {version} waits for approval",
    "promoted": "version {version} promoted",
    "rolled_back": "version {version} rolled back",
    "aborted": "rollout of version {version} aborted",
    "paused": "rollout of version {version} paused",
    "halted": "rollout of version {version} halted",
    "lease_expired": "nobody watched version {version}; traffic went back to stable",
    "incident_opened": "incident: {subject} of version {version}",
    "incident_worsened": "incident has worsened: {subject} of version {version}",
    "incident_resolved": "incident is over: {subject} of version {version}",
    "retraining": "training asked for, instead of version {version}",
}
#: What a service makes of it: the colour of a message, the urgency of a page.
_URGENCY: dict[Kind, str] = {
    "started": "INFO",
    "approval": "WARNING",
    "promoted": "SUCCESS",
    "rolled_back": "FAILURE",
    "aborted": "WARNING",
    "paused": "WARNING",
    "halted": "FAILURE",
    "lease_expired": "FAILURE",
    "incident_opened": "FAILURE",
    "incident_worsened": "FAILURE",
    "incident_resolved": "SUCCESS",
    "retraining": "INFO",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people want to know at 3 am."""

    kind: Kind
    model: str
    version: str
    """Of the candidate; of the champion, where the monitor tells of it."""
    text: str
    """One sentence that says what happened and why; no secret is in it."""
    at: float
    """Unix time."""
    subject: str = ""
    """What an incident is about."""


class Notifier(Protocol):
    """Tells people; never waits, never raises."""

    def tell(self, event: Event) -> None:
        """Pass an event on."""

    def close(self, seconds: float) -> None:
        """Wait at most so long for what is under way."""


class Nobody:
    """Nobody wants to know."""

    def tell(self, event: Event) -> None:
        """Drop it."""

    def close(self, seconds: float) -> None:
        """Nothing is under way."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event as a service shows it."""

    title: str
    body: str
    kind: Kind


def notifier(
    urls: Sequence[str],
    say: Callable[[str], None] | None = None,
    *,
    contact: str = "",
    runbook: str = "",
    limit: float = LIMIT,
) -> Notifier:
    """What tells the services behind these apprise URLs; several may stand in one text, as in the policy's `notify`.

    Parameters
    ----------
    say
        Told in one sentence, once for each service, when something did not get through; called from other threads.
    contact, runbook
        Of the owner, for the end of every message.
    limit
        Seconds after which one message is given up, with all its attempts.

    Raises ``PolicyError``, which shows nothing of a URL but its scheme, when apprise is not installed, or knows no such
    service.
    """
    wanted = services(urls)
    if not wanted:
        return Nobody()
    outboxes = [Outbox(one.name, one.send, say or _unheard, limit) for one in map(service, wanted)]
    return Services(tuple(outboxes), contact, runbook)


def services(urls: Sequence[str]) -> list[str]:
    """Each URL once; several may stand in one text, as in the policy's `notify`."""
    return list(dict.fromkeys(url for text in urls for url in split_urls(text)))


@dataclass(frozen=True, slots=True)
class Service:
    """One service behind an apprise URL."""

    name: str
    """`Slack`."""
    send: Callable[[Message], str]
    """Sends one message; says what went wrong, in words without secrets, or nothing."""


def service(url: str) -> Service:
    """The service behind one apprise URL.

    Raises ``PolicyError``, which shows nothing of the URL but its scheme, when apprise is not installed, or knows no
    such service.
    """
    try:
        import apprise
    except ImportError:
        what, hint = "notifications need apprise, which is not installed", "pip install 'mlship[notify]'"
        raise PolicyError(what, where="notify", hint=hint) from None
    # Its log names hosts, and parts of URLs; what a person should know is said by whoever sends.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.DEBUG)
    logger.addFilter(_EAR)
    asset = apprise.AppriseAsset(app_id="mlship", async_mode=False, service_timeout=0)  # no threads of its own
    known: Container[str] = apprise.NotificationManager()  # type: ignore[no-untyped-call]  # apprise leaves it open
    found = apprise.Apprise.instantiate(url, asset=asset)
    if found is None:
        raise PolicyError(_unusable(url, known), where="notify", hint=_LIST)
    group = apprise.Apprise(asset=asset)
    group.add(found)
    return Service(str(found.service_name), _sender(group))


class Services:
    """Tells several services, each at its own pace."""

    def __init__(self, outboxes: Sequence[Outbox[Message]], contact: str = "", runbook: str = "") -> None:
        self._outboxes, self._contact, self._runbook = outboxes, contact, runbook

    def tell(self, event: Event) -> None:
        """See ``Notifier.tell``."""
        message = Message(title(event), body(event, self._contact, self._runbook), event.kind)
        for outbox in self._outboxes:
            outbox.put(message)

    def close(self, seconds: float) -> None:
        """See ``Notifier.close``; so long for all services together."""
        deadline = time.monotonic() + seconds
        for outbox in self._outboxes:
            outbox.close(deadline)


def title(event: Event) -> str:
    """`flight-delay: version 8 rolled back`."""
    return f"{event.model}: {_TITLES[event.kind].format(version=event.version, subject=event.subject)}"


def body(event: Event, contact: str = "", runbook: str = "") -> str:
    """The reason, and where to go next."""
    text = event.text if len(event.text) <= _LONGEST else event.text[: _LONGEST - 3] + "..."
    said = [f"at {datetime.fromtimestamp(event.at, UTC):%Y-%m-%d %H:%M:%S} UTC"]
    said += [f"owner: {contact}"] if contact else []
    said += [f"runbook: {runbook}"] if runbook else []
    return "\n".join([text, "", *said])


def _unusable(url: str, known: Container[str]) -> str:
    scheme = scheme_of(url)
    if not scheme:
        return "this is no URL of a service, such as slack://TOKEN_A/TOKEN_B/TOKEN_C"
    return f"the {scheme}:// URL is not complete" if scheme in known else f"apprise knows no service '{scheme}://'"


def _sender(group: apprise.Apprise) -> Callable[[Message], str]:
    """Sends a message to the one service of a group; says what went wrong, or nothing."""
    import apprise

    kinds = {kind: getattr(apprise.NotifyType, name) for kind, name in _URGENCY.items()}

    def send(message: Message) -> str:
        _EAR.heard.unreached = False
        done = group.notify(
            body=message.body,
            title=message.title,
            notify_type=kinds[message.kind],
            body_format=apprise.NotifyFormat.TEXT,
        )
        if done:
            return ""
        logs = [log.message for result in done for attempt in result.attempts for log in attempt.logs]
        status = next((match[1] for log in logs if (match := re.search(r"error=(\d{3})\b", log))), "")
        if status:
            return f"it answered {status}"
        return UNREACHED if _EAR.heard.unreached else "no connection, or no answer in time"

    return send


class _Ear(logging.Filter):
    """Hears whether apprise never got a connection, which it says to itself only; its words hold URLs, and end here."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()
        """`unreached`, by thread."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``."""
        if _UNREACHED.search(record.getMessage()):
            self.heard.unreached = True
        return record.levelno >= logging.WARNING


_EAR = _Ear()


def _unheard(_sentence: str) -> None:
    """Nobody listens."""
