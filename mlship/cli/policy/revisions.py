"""A policy's text: from a file, or from a revision that git knows (`main:mlship.yaml`)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import PolicyError, UsageError
from mlship.policy.faults import Fault, plain
from mlship.policy.text import LARGEST, read_text

#: Seconds after which git will not answer any more: it waits for a lock, or for a disk that is gone.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Version:
    """A policy's text, and what it is called in messages."""

    name: str
    """The path as it was given, or `REV:PATH`."""
    text: str
    file: str
    """Its path, without the revision."""
    path: Path
    """What relative paths in it start from: the file, in the working tree."""


def version(given: str) -> Version:
    """The policy that an argument names: a file, or `REV:PATH` as git writes it.

    An empty revision is the index. PATH starts at the top of the repository; `./PATH` starts here. What has a colon
    is never a file, unless it begins with `./`, `../` or `/`: a change under review may bring a file called
    `HEAD^1:mlship.yaml`, and it must not stand in for the revision, not even where git lacks the revision.

    Raises ``UsageError`` when there is no such file, repository or revision, ``PolicyError`` when it is no text.
    """
    if not _names_revision(given):
        return from_file(given)
    revision, _, path = given.partition(":")
    try:
        return _from_git(given, revision, path, Path())
    except UsageError as error:
        if not Path(given).exists():
            raise
        raise UsageError(error.what, where=given, hint=f"the file of this name is ./{plain(given, 120)}") from None


def edited(file: str) -> tuple[Version, Version]:
    """The policy `file` as it is in HEAD, and as it is now. Raises like `version`."""
    path = Path(file)
    if _names_revision(file):
        other = file.partition(":")[2]
        raise UsageError("with what is it compared?", where=file, hint=f"mlship policy diff {file} {other}")
    now = from_file(file)
    return _from_git(f"HEAD:{file}", "HEAD", f"./{path.name}", path.parent), now


def _names_revision(given: str) -> bool:
    """Whether it can only be `REV:PATH`: no revision begins with a dot or is an absolute path."""
    return ":" in given and not given.startswith(("./", "../")) and not Path(given).is_absolute()


def from_file(given: str) -> Version:
    """The policy in a file, whatever its name. Raises like `version`."""
    path = Path(given)
    if not path.exists():
        raise UsageError("there is no such file", where=given, hint="name a policy, or REV:PATH for one that git keeps")
    text = read_text(path, given)
    if isinstance(text, Fault):
        raise PolicyError(text.what, where=given, hint=text.hint)
    return Version(given, text, given, path)


def _from_git(name: str, revision: str, path: str, directory: Path) -> Version:
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        said = plain(_said(top), 120)
        if "dubious ownership" in said:
            hint = "git config --global --add safe.directory DIRECTORY, as git says"
            raise UsageError(f"git does not trust this repository: {said}", where=name, hint=hint)
        raise UsageError(
            "this is not a git repository", where=name, hint="compare two files: mlship policy diff OLD NEW"
        )
    object_name = ""
    if revision:
        found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{tree}}")
        if found.returncode != 0:
            raise UsageError(
                f"git knows no revision '{plain(revision, 60)}' here",
                where=name,
                hint="a shallow clone lacks other branches: git fetch --depth 1 origin BRANCH, then origin/BRANCH:PATH",
            )
        object_name = found.stdout.decode().strip()
    # A name of hexadecimal digits, and no option: what comes after the colon cannot be taken for anything else.
    blob = _git(directory, "cat-file", "blob", f"{object_name}:{path}")
    if blob.returncode != 0:
        raise UsageError(
            f"there is no file '{plain(path, 60)}' in {_called(revision)}",
            where=name,
            hint=f"paths start at the top of the repository; from here it is '{revision}:./{plain(path, 60)}'"
            if not path.startswith("./")
            else "is it committed? a new policy has nothing to be compared with",
        )
    if len(blob.stdout) > LARGEST:
        raise PolicyError(f"too large for a policy: {len(blob.stdout) / 1e6:,.1f} MB", where=name)
    try:
        text = blob.stdout.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError("not UTF-8 text", where=name, hint="is it another file?") from error
    here = directory if path.startswith("./") else Path(top.stdout.decode().strip())
    return Version(name, text, name.partition(":")[2] or name, here / path)


def _called(revision: str) -> str:
    return f"revision '{plain(revision, 60)}'" if revision else "the index"


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split())


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git where the file is. Raises ``UsageError`` when git is not there, or does not answer."""
    where = str(directory)
    try:
        return subprocess.run(
            ["git", "-C", where or ".", *arguments],
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed", hint="install git, or compare two files") from None
    except subprocess.TimeoutExpired:
        raise UsageError("git does not answer", where=where, hint="is another git at work there?") from None
