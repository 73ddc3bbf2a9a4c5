"""Lint of hooks: one way of asking each, commands that need no shell, and URLs that can be asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from mlship.policy.commands import shell_sign, words
from mlship.policy.faults import Fault
from mlship.policy.rollout import Hook
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find

_HERE: Location = ("rollout", "hooks")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def hooks_of(subject: Subject) -> Iterable[tuple[Location, Hook]]:
    """Every hook that the schema took whole, and where it stands."""
    rollout = subject.policy.rollout
    for when in ("before_step", "after_step"):
        asked: tuple[Hook, ...] = getattr(rollout.hooks, when) if rollout else ()
        for index, hook in enumerate(asked):
            here: Location = (*_HERE, when, index)
            if not subject.has_broken((*_HERE, when)):
                yield here, hook


def lint_hooks(subject: Subject) -> Iterable[Fault]:
    """All contradictions in the hooks."""
    for here, hook in hooks_of(subject):
        if (hook.command is None) == (hook.webhook is None):
            both = hook.command is not None
            what = "a hook is a command or a webhook, and this is " + ("both" if both else "neither")
            yield subject.error(here, what, "keep one of the two" if both else "add `command: ./check.sh`", at_key=True)
            continue
        if hook.command is not None:
            yield from command_faults(subject, (*here, "command"), hook.command)
        if hook.webhook is not None:
            yield from webhook_faults(
                subject, (*here, "webhook"), hook.webhook, "https://example.com/agree", "anybody on the way can agree"
            )


def command_faults(subject: Subject, here: Location, command: str) -> Iterable[Fault]:
    """Faults of a command that cannot be split into words, or that only a shell would understand."""
    try:
        words(command)
    except ValueError as error:
        yield subject.error(here, f"this is no command: {error}", "write it as in a shell: ./check.sh --model flights")
        return
    if sign := shell_sign(command):
        node = find(subject.tree, here)
        shown = "" if isinstance(node, Scalar) and node.from_environment else f" '{sign}'" if sign.isprintable() else ""
        hint = "quote it, write a script, or ask for a shell: sh -c '...'"
        yield subject.error(here, f"no shell reads this, and{shown or ' something in it'} would mean nothing", hint)


def webhook_faults(subject: Subject, here: Location, url: str, example: str, danger: str) -> Iterable[Fault]:
    """Faults of a URL that cannot be asked, or not safely; `danger` is what plain http allows."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https"):
        yield subject.error(here, "a webhook is asked by http or https", f"such as {example}")
    elif not parts.hostname or port == 0:
        yield subject.error(here, "this URL names no server", f"such as {example}")
    elif parts.username is not None or parts.password is not None:
        yield subject.error(here, "user and password do not belong into a URL", 'a token in the path, as "${NAME}"')
    elif parts.scheme == "http" and parts.hostname not in _LOCAL:
        yield subject.warning(here, f"over plain http {danger}", "https?")
