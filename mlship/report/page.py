"""What every HTML page shares: the templates' environment, and characters that no file can hold."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from mlship.templates import template

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

#: Control characters have no place in HTML, nor have halves of surrogate pairs in UTF-8.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_CODE = re.compile(r"`([^`]+)`")


def page(name: str) -> Template:
    """A shipped page, ready to be rendered: everything is escaped, and a name that is not given is an error."""
    return _environment().get_template(name)


def clean(value: Any) -> Any:
    """Whatever a template prints, as characters that a file can hold; escaping follows."""
    if value is None:
        return ""
    return type(value)(_IMPOSSIBLE.sub("\ufffd", value)) if isinstance(value, str) else value


def coded(text: str) -> Markup:
    """A text with what stands in backticks as code; all of it is escaped first."""
    from markupsafe import Markup, escape

    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(clean(text)))))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(template("page.html").parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=clean,
    )
    made.filters["coded"] = coded
    return made
