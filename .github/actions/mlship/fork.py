"""Comments for pull requests whose own jobs may not write, from a `workflow_run`.

What it comments was written by the pull request's own run, which its author controls: nothing of it is run or written
to disk, it is small, it cannot mention, link or draw, and it goes to that author's pull request or nowhere.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from api import Api, ApiError
from comment import compose, hint, token, upsert
from runner import annotate, event, say

#: Bytes of an artifact, of the text in it and of the facts; and how many artifacts of a run are looked at.
ARCHIVE, TEXT, FACTS, MOST = 16 * 1024 * 1024, 300_000, 10_000, 20
#: Tags that mlship's own reports have.
_TAGS = ("<details>", "</details>", "<summary>", "</summary>", "<sub>", "</sub>")


#: Nothing to see: it parts what GitHub would read as one.
_GAP = "\u200b"


@dataclass(frozen=True)
class Run:
    """The run that has ended, as GitHub tells it: nothing here is by its author's word."""

    id: int
    sha: str
    head: str
    url: str


@dataclass(frozen=True)
class Left:
    """What a run has left for a comment, and who it says it is for."""

    number: int
    key: str
    text: str


#: How an archive that somebody made on purpose may fail to be read.
_DAMAGE = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def main() -> int:
    """Comment what the run that started this one has left; 0 also where there is nothing to do."""
    run = of(event())
    if run is None:
        annotate("notice", "no comment: the run was not for a pull request from a fork")
        return 0
    try:
        api = Api(os.environ.get("GITHUB_API_URL", "https://api.github.com"), os.environ["GITHUB_REPOSITORY"], token())
        pattern, author = os.environ.get("INPUT_ARTIFACTS", "mlship-*"), os.environ["INPUT_COMMENT_AUTHOR"]
        for left in found(api, run, pattern):
            if reason := api.patiently(partial(foreign, api, left.number, run)):
                annotate("warning", f"no comment on {left.number}: {reason}")
                continue
            said = f"<sub>by the pull request's own run of a fork, at {run.sha[:12]}, [this run]({run.url})</sub>"
            done = upsert(api, left.number, left.key, compose(tame(left.text), left.key, said), author)
            say(f"comment on pull request {left.number}: {done}")
    except ApiError as error:
        annotate("error", f"no comment: {error}{hint(error)}")
        return 1
    return 0


def of(happened: dict[str, Any]) -> Run | None:
    """The run that has ended, when it was for a pull request whose jobs may not write."""
    told = happened.get("workflow_run") or {}
    head = told.get("head_repository") or {}
    own = head.get("full_name") == os.environ.get("GITHUB_REPOSITORY")
    bot = (told.get("actor") or {}).get("login") == "dependabot[bot]"
    if told.get("event") != "pull_request" or not head or (own and not bot):
        return None
    return Run(int(told["id"]), str(told["head_sha"]), str(head["full_name"]), str(told.get("html_url", "")))


def found(api: Api, run: Run, pattern: str) -> list[Left]:
    """What the run's artifacts hold; those that are too large or hold something else are left out with a warning."""
    listed = api.patiently(lambda: list(api.pages(f"actions/runs/{run.id}/artifacts?per_page=100")))
    named = [each for page in listed for each in page["artifacts"] if fnmatchcase(str(each["name"]), pattern)]
    all_left = []
    for each in named[:MOST]:
        if each["expired"] or each["size_in_bytes"] > ARCHIVE:
            annotate("warning", f"artifact {each['name']}: it is too large, or no longer there")
            continue
        path = f"actions/artifacts/{int(each['id'])}/zip"
        content = api.patiently(partial(api.download, path))
        try:
            all_left.append(read(content))
        except _DAMAGE as error:
            annotate("warning", f"artifact {each['name']}: {error}")
    if not all_left:
        annotate("notice", f"no comment: the run has left nothing for one in artifacts named {pattern}")
    return all_left


def read(content: bytes) -> Left:
    """The two files that are looked at.

    Raises ``ValueError``, ``KeyError`` or what `zipfile` raises when they are not what they should be.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        facts = json.loads(_member(archive, "comment.json", FACTS))
        text = _member(archive, "report.md", TEXT).decode(errors="replace")
    if not isinstance(facts, dict):
        raise ValueError("comment.json is no object")  # noqa: TRY004 - a fault of what was read, like the others
    number, key = facts["pull_request"], facts["key"]
    if type(number) is not int or not 0 < number < 2**31 or not re.fullmatch(r"[0-9a-f]{16}", str(key)):
        raise ValueError("comment.json names no pull request")
    return Left(number, str(key), text)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file's content; never more is unpacked than is looked at, whatever the archive says of its size."""
    with archive.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} has more than {most} bytes")
    return content


def foreign(api: Api, number: int, run: Run) -> str:
    """Why this pull request is not the one that the run was for, by GitHub's own word; empty when it is."""
    try:
        told = api.call("GET", f"pulls/{number}")
    except ApiError as error:
        if error.status == 404:
            return "there is no such pull request"
        raise
    if told["state"] != "open":
        return "it is not open"
    if ((told["head"].get("repo") or {}).get("full_name")) != run.head:
        return f"it is not from {run.head}"
    if told["base"]["repo"]["full_name"] != api.repository:
        return f"it is not for {api.repository}"
    return "" if told["head"]["sha"] == run.sha else "it has moved on since"


def tame(text: str) -> str:
    """Markdown that mentions nobody, refers to nothing, links nowhere and shows no picture; tables and folds stay."""
    text = "".join(letter for letter in text if letter.isprintable() or letter == "\n")
    text = re.sub(r"</?\w+>|<", lambda tag: tag[0] if tag[0] in _TAGS else tag[0].replace("<", "&lt;"), text)
    text = re.sub(r"&(?!(?:lt|gt|amp|quot|#39|#34|#x27);)", "&amp;", text)  # an entity can be an @
    text = re.sub(r"](?=[(\[:])", f"]{_GAP}", text)
    text = re.sub(r"(?i)(:/|www)(?=[/.])", f"\\1{_GAP}", text)
    text = re.sub(r"\b[0-9a-f]{7}(?=[0-9a-f]{33}\b)", f"\\g<0>{_GAP}", text)  # a whole commit id is a link
    return re.sub(r"@|(?<!&)#(?=\w)|(?i:\bGH)(?=-)", f"\\g<0>{_GAP}", text)


if __name__ == "__main__":
    sys.exit(main())
