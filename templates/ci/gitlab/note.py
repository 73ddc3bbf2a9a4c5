"""Keeps one note on a merge request up to date: `note.py REPORT.md`. Python's standard library only.

`MLSHIP_NOTE_TOKEN` is a project access token (role Developer, scope `api`): a job's own token cannot write notes.
"""

import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

#: Characters; GitLab takes a million, and a page with so many is slow.
LARGEST = 200_000
TRIES = 4
#: Pages of a hundred notes that are looked through for our own.
PAGES = 100


def main(path: str) -> int:
    """Write the report over our own note, or as a new one; 1 and a line on stderr when that cannot be done."""
    merge_request = os.environ.get("CI_MERGE_REQUEST_IID")
    if not merge_request:
        return 0  # a pipeline of a branch
    policy = os.environ.get("MLSHIP_POLICY", "mlship.yaml")
    marker = f"<!-- mlship {re.sub(r'[^A-Za-z0-9._/-]', '_', policy)} -->"
    try:
        text = Path(path).read_text(encoding="utf-8")[:LARGEST]
    except OSError:
        text = "### ⚠️ mlship ended without a report"
    link = f"[this job]({os.environ['CI_JOB_URL']})"
    end = f"<sub>at {os.environ['CI_COMMIT_SHORT_SHA']}, {link}; renewed by the next pipeline</sub>"
    body = f"{marker}\n{text.strip()}\n\n{end}"
    project = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
    notes = f"{project}/merge_requests/{merge_request}/notes"
    for attempt in range(1, TRIES + 1):
        try:
            put(notes, marker, body)
        except urllib.error.HTTPError as error:
            trouble, again = f"HTTP {error.code} {error.reason}", error.code >= 500 or error.code == 429
        except (OSError, ValueError, http.client.HTTPException) as error:
            trouble, again = f"{type(error).__name__}: {error}", True
        else:
            return 0
        if not again:
            break
        if attempt < TRIES:
            time.sleep(float(os.environ.get("MLSHIP_NOTE_WAIT", "2")) * attempt)
    sys.stderr.write(f"mlship: no note on merge request {merge_request}: {trouble}\n")
    return 1


def put(notes: str, marker: str, body: str) -> None:
    """Change the note that begins with the marker and is ours, or write one.

    Raises what `urllib` raises, and ``ValueError`` for an answer that is not GitLab's.
    """
    try:
        me, _ = call("GET", f"{os.environ['CI_API_V4_URL']}/user")
        for page in range(1, PAGES + 1):
            found, headers = call("GET", f"{notes}?per_page=100&page={page}")
            for note in found:
                if note["author"]["id"] == me["id"] and note["body"].startswith(marker):
                    call("PUT", f"{notes}/{note['id']}", {"body": body})
                    return
            if not headers.get("x-next-page"):
                break
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the API does not answer as GitLab's does: {error}") from error
    call("POST", notes, {"body": body})


def call(method, url, payload=None):
    """The answer of GitLab's API, and its headers; redirects are not followed, for the token would go along."""
    data = json.dumps(payload).encode() if payload is not None else None
    headers = {"private-token": os.environ["MLSHIP_NOTE_TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.build_opener(Stay).open(request, timeout=30) as answer:
        return json.load(answer), answer.headers


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_):
        """None: the redirect itself is the answer, and an error."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
