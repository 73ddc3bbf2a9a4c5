"""The server's own log lines: one line a record whatever is in it, as text for people or as JSON for collectors."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]


class OneLine(logging.Formatter):
    """One line a record, whatever is in it; tracebacks only with MLSHIP_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as `time level logger: message`."""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {one_line(_message(record))}"
        if record.exc_info and os.environ.get("MLSHIP_DEBUG"):
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLine(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the request id where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; a traceback is a field of it, and only with MLSHIP_DEBUG."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": one_line(_message(record)),
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            document["request_id"] = str(request_id)
        if record.exc_info and os.environ.get("MLSHIP_DEBUG"):
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


def configure(kind: Format) -> None:
    """Send all log lines of this process to stderr in one format; the quiet levels of libraries are set here."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if kind == "json" else OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("mlship").setLevel(logging.INFO)
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its warnings are about single requests


def last_words(kind: Format, text: str, fault: BaseException | None = None) -> None:
    """Say on one line of stderr why the process ends badly.

    Parameters
    ----------
    fault
        Told with its traceback when MLSHIP_DEBUG is set.
    """
    debug = fault if os.environ.get("MLSHIP_DEBUG") else None
    if kind == "json":
        record = logging.LogRecord("mlship.serving", logging.ERROR, "", 0, "%s", (text,), None)
        if debug is not None:
            record.exc_info = (type(debug), debug, debug.__traceback__)
        sys.stderr.write(JsonLine().format(record) + "\n")
    else:
        if debug is not None:
            traceback.print_exception(debug)
        sys.stderr.write(one_line(f"mlship.serving: {text}") + "\n")
    sys.stderr.flush()


def one_line(text: str) -> str:
    """Return text without line breaks, and not longer than a screen."""
    text = " ".join(text.split())
    return text if len(text) <= 600 else text[:597] + "..."


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    return text
