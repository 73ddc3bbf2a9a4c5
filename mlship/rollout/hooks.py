"""Hooks: programs and web services that are asked around a step, and can veto; whatever goes wrong is a veto."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.policy.commands import words
from mlship.policy.urls import shown_host
from mlship.rollout import webhook
from mlship.rollout.program import Ended, Running
from mlship.rollout.state import HookAnswer

if TYPE_CHECKING:
    from mlship.policy.rollout import Hook

#: Characters of one value that a program gets; Linux takes 128 KiB.
_LONGEST = 30_000
#: Characters of what is quoted of an answer.
_QUOTED = 300


class Hooks:
    """Asks the hooks of one policy.

    Parameters
    ----------
    before, after
        Asked before traffic moves to a step, and when a step has baked; in this order, up to the first veto.
    directory
        Where programs run, and relative names of programs begin: that of the policy file.
    """

    def __init__(self, before: Sequence[Hook], after: Sequence[Hook], directory: Path) -> None:
        self._hooks = {"before": tuple(before), "after": tuple(after)}
        self._directory = directory
        self._running = Running()

    def ask(self, point: str, facts: Mapping[str, str]) -> HookAnswer:
        """What the hooks of a point (`before:1`, `after:0`) say; blocks for as long as they may take; never raises.

        Programs get each fact as an environment variable (`weight` as `MLSHIP_WEIGHT`), web services all of them as
        one JSON object.
        """
        when = point.partition(":")[0]
        known = {name.lower(): str(value) for name, value in facts.items()}
        try:
            for hook in self._hooks.get(when, ()):
                if veto := self._veto(hook, known):
                    return HookAnswer(False, veto)
        except Exception as error:  # noqa: BLE001 - a hook that cannot be asked has not agreed; its text may be a secret
            return HookAnswer(False, f"a hook could not be asked: {type(error).__name__}")
        return HookAnswer(True)

    def close(self) -> None:
        """Kill the programs that run, and start no more: nobody waits for their answer."""
        self._running.close()

    def _veto(self, hook: Hook, facts: Mapping[str, str]) -> str:
        """Why a hook does not agree; empty when it does."""
        if hook.command is not None:
            return self._command(hook.command, hook.timeout, facts)
        if hook.webhook is not None:
            return _webhook(hook.webhook, hook.timeout, facts)
        return "a hook has neither command nor webhook"

    def _command(self, command: str, timeout: float, facts: Mapping[str, str]) -> str:
        try:
            arguments = words(command)
        except ValueError as error:
            return f"a hook's command cannot be run: {error}"
        ended = run(self._running, arguments, self._directory, timeout, facts)
        return "" if ended.agreed else no(arguments, ended)


def run(running: Running, arguments: Sequence[str], directory: Path, timeout: float, facts: Mapping[str, str]) -> Ended:
    """Run a policy's command, beside the policy, with each fact (`weight`) as a variable (`MLSHIP_WEIGHT`)."""
    program = arguments[0]
    if os.sep in program:  # relative to the policy, as its other paths are
        program = str(directory.absolute() / Path(program).expanduser())
    given = {f"MLSHIP_{name.upper()}": value.replace("\0", " ")[:_LONGEST] for name, value in facts.items()}
    return running.run((program, *arguments[1:]), directory=directory, environ={**os.environ, **given}, timeout=timeout)


def no(arguments: Sequence[str], ended: Ended) -> str:
    """How a command did not agree, in one line."""
    said = clean(" / ".join(ended.lines))
    return f"{Path(arguments[0]).name} {ended.how}" + (f": {said}" if said else "")


def _webhook(url: str, timeout: float, facts: Mapping[str, str]) -> str:
    where = shown_host(url) or "the webhook"
    answer = webhook.post(url, json.dumps(dict(facts)).encode(), timeout)
    if answer.agreed:
        return ""
    said = clean(webhook.without(url, answer.line))
    return f"{where} {answer.how}" + (f": {said}" if said else "")


def clean(text: str) -> str:
    """On one line, without control characters, and not longer than a person would read."""
    text = re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in text)).strip()
    return text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "..."
