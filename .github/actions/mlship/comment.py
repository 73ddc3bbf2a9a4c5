"""Keeps one comment on a pull request up to date: the result of one mlship command on one policy."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from api import Api, ApiError
from runner import annotate, event, run_url, say

#: UTF-16 units; GitHub refuses a comment of more than 65,536 characters.
LARGEST = 65_536
_KEY = re.compile(r"[0-9a-f]{16}")


def main() -> int:
    """Comment what the step before has left in `REPORTS`; 0 also where there is nowhere to comment."""
    happened = event()
    pull_request = happened.get("pull_request") or {}
    if not pull_request:
        annotate("notice", "no comment: this run is not for a pull request")
        return 0
    if reason := read_only(pull_request, os.environ.get("GITHUB_REPOSITORY", "")):
        annotate("notice", f"no comment from here: {reason}; see mlship-comment.yml in docs/how-to/github.md")
        return 0
    try:
        text, about = left_in(Path(os.environ["REPORTS"]))
        body = compose(text, about["key"], footer(pull_request["head"]["sha"]))
        api = Api(os.environ.get("GITHUB_API_URL", "https://api.github.com"), os.environ["GITHUB_REPOSITORY"], token())
        done = upsert(api, pull_request["number"], about["key"], body, os.environ["INPUT_COMMENT_AUTHOR"])
    except ApiError as error:
        annotate("error", f"no comment: {error}{hint(error)}")
        return 1
    say(f"comment on pull request {pull_request['number']}: {done}")
    return 0


def token() -> str:
    """The token that comments. Raises ``ApiError`` when there is none."""
    found = os.environ.get("GITHUB_TOKEN", "").strip()
    if not found:
        raise ApiError("there is no GITHUB_TOKEN")
    return found


def read_only(pull_request: dict[str, Any], repository: str) -> str:
    """Why GitHub gives the jobs of this pull request a token that cannot write, or an empty text."""
    head = pull_request["head"].get("repo") or {}
    if head.get("full_name") != repository:
        return "the pull request is from a fork, whose jobs may not write"
    if os.environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        return "Dependabot's jobs may not write"
    return ""


def left_in(reports: Path) -> tuple[str, dict[str, Any]]:
    """Text and facts that `run.py` has left. Raises ``ApiError`` when they are not there."""
    try:
        return (reports / "report.md").read_text(encoding="utf-8"), json.loads((reports / "comment.json").read_text())
    except (OSError, ValueError) as error:
        raise ApiError(f"there is nothing to comment in {reports}: {error}") from None


def marker(key: str) -> str:
    """What a comment of one command on one policy begins with; nobody sees it on the page."""
    if not _KEY.fullmatch(key):
        raise ApiError("a comment's key has 16 hexadecimal digits")
    return f"<!-- mlship:{key} -->"


def footer(sha: str) -> str:
    """Which commit this is about, and where there is more."""
    places = [("this run", run_url()), ("reports", os.environ.get("ARTIFACT_URL", ""))]
    links = "".join(f", [{name}]({url})" for name, url in places if url)
    return f"<sub>at {sha[:12]}{links}; renewed by the next run</sub>"


def compose(text: str, key: str, end: str) -> str:
    """The whole comment, cut at a line where it is longer than GitHub takes."""
    head, tail = f"{marker(key)}\n", f"\n\n{end}"
    room = LARGEST - units(head + tail)
    text = text.strip()
    if units(text) > room:
        note = "\n\n*Cut here: a comment has no room for more. The reports of this run have all of it.*"
        text = cut(text, room - units(note)) + note
    return head + text + tail


def cut(text: str, room: int) -> str:
    """As many whole lines as fit, with what they have opened and not closed closed again."""
    kept: list[str] = []
    fence, folds = False, 0
    left = room - 200  # for what has to be closed
    for line in text.splitlines():
        left -= units(line) + 1
        if left < 0:
            break
        kept.append(line)
        fence ^= line.lstrip().startswith("```")
        folds += line.count("<details") - line.count("</details>")
    return "\n".join([*kept, *["```"] * fence, *["\n</details>"] * min(max(0, folds), 14)])


def units(text: str) -> int:
    """Length in UTF-16 units: never less than the characters that GitHub counts."""
    return len(text.encode("utf-16-le", "replace")) // 2


def upsert(api: Api, number: int, key: str, body: str, author: str) -> str:
    """Write the comment: over the one that is there, or a new one; returns what was done. Raises ``ApiError``.

    Each try looks again first: a request that seemed to fail may have arrived, and a second comment would stay.
    """

    def once() -> str:
        found = mine(api, number, key, author)
        if found is not None and found.get("body") == body:
            return "nothing new"
        if found is not None:
            try:
                api.call("PATCH", f"issues/comments/{found['id']}", {"body": body})
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                return "renewed"
        api.call("POST", f"issues/{number}/comments", {"body": body})
        return "written"

    return api.patiently(once)


def mine(api: Api, number: int, key: str, author: str) -> dict[str, Any] | None:
    """Our own comment: it begins with the marker, and is by the account that comments."""
    begins = marker(key)
    for page in api.pages(f"issues/{number}/comments?per_page=100"):
        for comment in page:
            if str(comment.get("body") or "").startswith(begins) and (comment.get("user") or {}).get("login") == author:
                return dict(comment)
    return None


def hint(error: ApiError) -> str:
    """The way out, where there is a usual one."""
    if error.status in (401, 403, 404):
        return "\nnext: give the job `permissions: pull-requests: write` (and `contents: read` for the checkout)"
    return ""


if __name__ == "__main__":
    sys.exit(main())
