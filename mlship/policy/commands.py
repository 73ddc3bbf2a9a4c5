"""Commands as a policy writes them in one text: split into words as a shell would, and run without one. Pure."""

from __future__ import annotations

import re
import shlex

#: What only a shell would act upon.
_SPECIAL = "|&;<>()$`*\n"
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def words(command: str) -> tuple[str, ...]:
    """The program and its arguments; quotes and backslashes are read as a shell reads them.

    Raises ``ValueError`` that says why there is no program in it, or a quote is not closed.
    """
    try:
        found = tuple(shlex.split(command))
    except ValueError:
        raise ValueError("a quote is not closed") from None
    if not found or not found[0]:
        raise ValueError("it names no program")
    if any("\0" in word for word in found):
        raise ValueError("it has a NUL character")
    return found


def shell_sign(command: str) -> str:
    """The first sign in a command that only a shell would act upon, such as `|` or `$`; empty when there is none.

    Inside double quotes `$` and a backtick still count, inside single quotes and after a backslash nothing does.
    """
    quote, escaped, begins = "", False, True
    if match := _ASSIGNMENT.match(command.lstrip()):
        return match[0]
    for char in command:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            if char == quote:
                quote = ""
            elif quote == '"' and char in "$`":
                return char
        elif char in "'\"":
            quote = char
        elif char in _SPECIAL or (char == "~" and begins):
            return char
        begins = char.isspace() and not quote
    return ""
