"""An evaluation as people and machines read it: one file a kind, one table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlship.types import Evaluation

#: Modules of this package with a `render`; each is imported when it is asked for, for a page takes long to load.
KINDS = ("text", "json", "markdown", "html")


def render(evaluation: Evaluation, kind: str) -> Any:
    """The evaluation as `text`, `markdown` or `html` (a string) or `json` (a document for `json.dump`).

    Raises ``KeyError`` for another kind.
    """
    if kind not in KINDS:
        raise KeyError(kind)
    return import_module(f"{__name__}.{kind}").render(evaluation)
