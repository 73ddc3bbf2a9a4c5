"""Writes the reference pages that come from code: `python -m tests.docs.reference`; a test compares them with it."""

from __future__ import annotations

import sys
from pathlib import Path

from mlship.policy import reference as policy
from tests.docs import commands, environment, exit_codes

#: Where the pages are.
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Every generated page by its name below `docs/reference`."""
    return {
        "commands.md": commands.markdown(),
        "environment.md": environment.markdown(),
        "exit-codes.md": exit_codes.markdown(),
        "policy.md": policy.markdown(),
    }


def main() -> None:
    """Write the pages that have changed, and say which."""
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/reference/{name}\n")


if __name__ == "__main__":
    main()
