"""An excerpt of SARIF 2.1.0, stricter than the original: exactly the objects that mlship writes, nothing more.

Written by the specification (OASIS, sections 3.13 to 3.54): names, required properties, enumerations and ranges; every
object is closed. It is no copy of the original schema, which allows more.
"""

from __future__ import annotations

from typing import Any


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


_TEXT = {"type": "string", "minLength": 1}
_BAG = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}}}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
_MESSAGE = _closed(["text"], text=_TEXT)
_RULE = _closed(
    ["id"], id=_TEXT, shortDescription=_MESSAGE, defaultConfiguration=_closed([], level=_LEVEL), properties=_BAG
)
_DRIVER = _closed(
    ["name"],
    name=_TEXT,
    semanticVersion=_TEXT,
    rules={"type": "array", "uniqueItems": True, "items": _RULE},
)
_REGION = _closed(
    ["startLine"], startLine={"type": "integer", "minimum": 1}, startColumn={"type": "integer", "minimum": 1}
)
#: A URI reference: what it cannot hold is percent-encoded.
_URI = {"type": "string", "pattern": r"^([A-Za-z0-9\-._~/:@!$&'()*+,;=]|%[0-9A-F]{2})+$"}
_PLACE = _closed(["artifactLocation"], artifactLocation=_closed(["uri"], uri=_URI), region=_REGION)
_RESULT = _closed(
    ["ruleId", "ruleIndex", "level", "message", "partialFingerprints"],
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_MESSAGE,
    locations={"type": "array", "minItems": 1, "items": _closed([], physicalLocation=_PLACE)},
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    properties=_BAG,
)
_INVOCATION = _closed(
    ["executionSuccessful"], executionSuccessful={"type": "boolean"}, startTimeUtc=_TIME, endTimeUtc=_TIME
)
_RUN = _closed(
    ["tool"],
    tool=_closed(["driver"], driver=_DRIVER),
    automationDetails=_closed([], id=_TEXT),
    invocations={"type": "array", "items": _INVOCATION},
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": _RESULT},
    properties=_BAG,
)
SCHEMA = _closed(
    ["version", "runs"],
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs={"type": "array", "minItems": 1, "items": _RUN},
)
