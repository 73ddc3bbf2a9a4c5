"""`mlship schema`: the JSON Schema of the policy, or of what a command writes, for editors and other tools."""

from __future__ import annotations

from typing import Annotated

import typer

from mlship.cli.telling import emit_json
from mlship.errors import UsageError


def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="policy, or the command whose JSON is described; `list` names them.",
        ),
    ] = "policy",
) -> None:
    """Print the policy's JSON Schema, for completion in editors.

    With a command's name: the schema of what it writes with --format json.

    \b
    Examples:
      mlship schema > mlship.schema.json
      mlship schema evaluate
      mlship schema list
    """
    from mlship import schemas

    known = schemas.names()
    asked = schemas.named(name)
    if asked == "policy":
        from mlship.policy.jsonschema import json_schema

        emit_json(json_schema())
    elif asked == "list":
        emit_json(["policy", *known])
    elif asked in known:
        emit_json(schemas.load(asked))
    else:
        from mlship.report.figures import listed, nearest

        what = f"there is no schema '{name}'{nearest(name, known)}"
        raise UsageError(what, hint=f"mlship schema NAME, of {listed(['policy', *known], 30)}")
