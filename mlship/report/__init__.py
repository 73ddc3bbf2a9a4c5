"""An evaluation as people and machines read it: one file a kind, one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlship.report import html, json, markdown, text
from mlship.types import Evaluation

KINDS: dict[str, Callable[[Evaluation], Any]] = {
    "text": text.render,
    "json": json.render,
    "markdown": markdown.render,
    "html": html.render,
}


def render(evaluation: Evaluation, kind: str) -> Any:
    """The evaluation as `text`, `markdown` or `html` (a string) or `json` (a document for `json.dump`).

    Raises ``KeyError`` for another kind.
    """
    return KINDS[kind](evaluation)
