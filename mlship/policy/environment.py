"""`${NAME}` and `${NAME:-default}` in a policy, read from the environment; values never appear in a message."""

from __future__ import annotations

import re
from collections.abc import Mapping as Environment
from dataclasses import replace

from mlship.policy.faults import Fault, Source, plain
from mlship.policy.tree import Mapping, Node, Scalar, Sequence

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def substitute(node: Node, environ: Environment[str, str], source: Source) -> tuple[Node, list[Fault]]:
    """The tree with every reference in a value replaced; `$${` stands for a plain `${`.

    A variable that is empty counts as not set: that is how a CI system passes a secret that does not exist.
    """
    faults: list[Fault] = []

    def visit(node: Node) -> Node:
        match node:
            case Mapping():
                return Mapping(node.spot, {key: (spot, visit(value)) for key, (spot, value) in node.entries.items()})
            case Sequence():
                return Sequence(node.spot, tuple(visit(item) for item in node.items))
            case Scalar():
                return _scalar(node, environ, source, faults)

    return visit(node), faults


def _scalar(node: Scalar, environ: Environment[str, str], source: Source, faults: list[Fault]) -> Scalar:
    if not isinstance(node.value, str) or "${" not in node.value or node.broken:
        return node
    problems: list[tuple[str, str]] = []

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if name is None:
            problems.append(
                ("'${' does not begin a valid reference", "write ${NAME}, ${NAME:-default}, or $${ for a plain ${")
            )
            return ""
        found = environ.get(name, "")
        if not found and default is None:
            state = "is empty" if name in environ else "is not set"
            problems.append(
                (f"the environment variable {plain(name)} {state}", f"set it, or write ${{{plain(name)}:-default}}")
            )
        if found and not _is_text(found):
            problems.append((f"the environment variable {plain(name)} does not hold UTF-8 text", "correct it"))
            return ""
        return found or default or ""

    replaced = _REFERENCE.sub(value, node.value)
    faults.extend(source.fault(node.spot, what, hint) for what, hint in dict.fromkeys(problems))
    return replace(node, value=replaced, broken=bool(problems), from_environment=True)


def _is_text(value: str) -> bool:
    """Bytes that are not UTF-8 reach `os.environ` as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
