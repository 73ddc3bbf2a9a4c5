"""How the commands that do one thing tell what they did: a sentence, and what a program needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlship.cli.telling import Told
from mlship.errors import Exit
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.report.checklist import Checklist

#: What an exit code says about what was checked or asked for.
STATUSES = {
    Exit.PASSED: Status.PASSED,
    Exit.GATE_FAILED: Status.FAILED,
    Exit.ROLLED_BACK: Status.FAILED,
    Exit.UNREACHABLE: Status.ERROR,
}


def status_of(code: int) -> Status:
    """The status that belongs to an exit code; what decides nothing is inconclusive."""
    return STATUSES.get(Exit(code), Status.INCONCLUSIVE)


def answer(
    command: str,
    title: str,
    lines: Sequence[str],
    document: dict[str, Any],
    *,
    status: Status = Status.PASSED,
    outputs: Mapping[str, str] | None = None,
) -> Told:
    """What was done, and its one check.

    Parameters
    ----------
    title
        What it was done to: the model.
    lines
        As a person reads it; the first is the sentence.
    document
        As a program reads it.
    """

    def markdown() -> str:
        from mlship.report import blocks

        rest = blocks.bullets([line.strip() for line in lines[1:] if line.strip()])
        return blocks.joined(blocks.heading(status, f"{title}: {command}"), blocks.sentence(lines[0]), rest)

    def checklist() -> Checklist:
        from mlship.report.checklist import Check, Checklist

        check = Check(command, title, status, " ".join(line.strip() for line in lines))
        return Checklist(command, title, status, lines[0], (check,))

    return Told(lambda: "\n".join(lines), lambda: document, markdown, checklist, outputs=outputs)


def order(command: str, model: str, said: str, code: Exit = Exit.PASSED) -> Told:
    """What became of an order to a rollout.

    Parameters
    ----------
    said
        The answer of the controller, or what was done where none runs.
    code
        4 when it was not done.
    """
    verdict = "done" if code is Exit.PASSED else "refused"
    document = {"model": model, "order": command, "verdict": verdict, "exit_code": int(code), "reason": said}
    return answer(command, model, [said], document, status=status_of(code))
