"""How every command tells its result: `--format` on stdout, and `--report KIND=FILE` beside it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.errors import StateError, UsageError

if TYPE_CHECKING:
    from mlship.report.checklist import Checklist


class Format(StrEnum):
    """How a result is written to stdout."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="How to write the result to stdout; github: annotations, and the job's summary and outputs.",
    ),
]


@dataclass(frozen=True, slots=True)
class Told:
    """One result, in every way in which it can be written; each is made when it is asked for."""

    text: Callable[[], str]
    document: Callable[[], Any]
    """For `json.dump`: JSON's own types only."""
    markdown: Callable[[], str]
    checklist: Callable[[], Checklist]
    html: Callable[[], str] | None = None
    """None: this command has no page."""
    outputs: Mapping[str, str] | None = None
    """What a step of a GitHub workflow may read: `verdict`, `candidate-version`; None: only the checklist's status."""
