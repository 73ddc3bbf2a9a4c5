"""`mlship status --all`: every model, who answers for it, and what waits for whom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mlship.cli.common import columns, leave
from mlship.cli.status import describe
from mlship.cli.telling import Format, Told, plain, shown, tell
from mlship.errors import Exit

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.types.estate import Estate


def status_all(
    home: Home,
    policies: tuple[str, ...],
    registry: str | None,
    *,
    strict: bool,
    fmt: Format,
    files: Mapping[Path, str],
) -> NoReturn:
    """Gather, tell and end: 3 when something could not be read; with `strict` 1 when anything asks for a person."""
    from mlship.estate.gather import Asked, gather
    from mlship.report.estate_words import status
    from mlship.types import Status

    asked = Asked(policies, registry, Path.cwd())
    estate = gather(home, asked, time.time(), lambda model: describe(home, model))
    tell(told(estate, strict=strict), fmt, files)
    found = {Status.ERROR: Exit.UNREACHABLE, Status.FAILED: Exit.GATE_FAILED}
    leave(found.get(status(estate, strict=strict), Exit.PASSED))


def told(estate: Estate, *, strict: bool) -> Told:
    """Every model, in every way in which it can be written."""
    from mlship.report import estate_text

    def page() -> str:
        from mlship.report.estate_page import render

        return render(estate)

    return Told(
        lambda: estate_text.text(estate, columns(terminal=False)),
        lambda: estate_text.document(estate),
        lambda: estate_text.markdown(estate),
        lambda: estate_text.checklist(estate, strict=strict),
        page,
        estate_text.outputs(estate),
        show=lambda: plain(shown(estate_text.text(estate, columns()))),  # columns stand below one another
    )
