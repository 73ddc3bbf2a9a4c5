"""Is there what the rollout section and `notify` need: the programs of hooks, the package that notifies?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from mlship.policy.commands import shell_sign, words
from mlship.policy.faults import Fault, plain
from mlship.policy.lint_hooks import hooks_of
from mlship.policy.references_gates import check_program
from mlship.policy.subject import Subject
from mlship.policy.tree import Location


def check_rollout_references(subject: Subject, resolve: Callable[[str], Path]) -> Iterable[Fault]:
    """Faults of programs that are not there; a warning when nobody could be told."""
    for here, hook in hooks_of(subject):
        lacking = "where it is missing, the hook is a veto"
        yield from command_references(subject, (*here, "command"), hook.command or "", resolve, lacking)
    if subject.policy.notify and find_spec("apprise") is None:
        what = "apprise is not installed here: a rollout would be refused"
        yield subject.warning(("notify",), what, "pip install 'mlship[notify]'", at_key=True)


def command_references(
    subject: Subject, here: Location, command: str, resolve: Callable[[str], Path], lacking: str
) -> Iterable[Fault]:
    """Faults of a command whose program is not there; `lacking` is what comes of that."""
    try:
        program = words(command)[0]
    except ValueError:  # has a fault already, or there is none
        return
    yield from check_program(subject, here, program, resolve)
    # Of this machine; the one where it runs may be another.
    elsewhere = os.sep not in program or program.startswith(os.sep)
    if elsewhere and not shell_sign(command) and shutil.which(program) is None:
        shown = plain(subject.shown(here).partition(" ")[0] or program, 60)
        what = f"this machine has no program {shown}: {lacking}"
        yield subject.warning(here, what, "install it, or name a program beside the policy: ./check.sh")
