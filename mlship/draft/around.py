"""The files around a policy: the workflow that evaluates it on a pull request with its action, and pre-commit hooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlship.draft.place import File
from mlship.templates import below, template

#: The name of each file, from the top of the repository.
GITHUB, GITLAB, GITLAB_MAIN, HOOKS = (
    ".github/workflows/mlship.yml",
    ".gitlab/mlship.yml",
    ".gitlab-ci.yml",
    ".pre-commit-config.yaml",
)
#: The action that the workflow uses, as mlship ships it: the repository's own copy, which changes only by a commit.
ACTION, _SHIPPED = ".github/actions/mlship", "ci/github/action"
#: What each kind of pipeline consists of.
_TEMPLATES = {GITHUB: "github.yml", GITLAB: "gitlab.yml", GITLAB_MAIN: "gitlab-main.yml"}
CI: dict[str, tuple[str, ...]] = {"github": (GITHUB,), "gitlab": (GITLAB, GITLAB_MAIN), "none": ()}


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that stays as it is, and what to do about it."""

    path: Path
    why: str
    hint: str = ""


def around(
    top: Path, ci: str, *, hooks: bool, policy: str, data: str | None, read: Callable[[Path], str | None], force: bool
) -> tuple[list[File], list[Kept]]:
    """The files beside a policy that are to be written, and those that stay as they are.

    Parameters
    ----------
    top
        Of the repository.
    read
        The text of a file, None when there is none.
    """
    files: list[File] = []
    kept: list[Kept] = []
    for name in CI[ci]:
        text, there = rendered(_TEMPLATES[name], policy, data), read(top / name)
        if there == text:
            kept.append(Kept(top / name, "it is as it should be"))
        elif there is not None and name == GITLAB_MAIN:
            if GITLAB not in there:
                kept.append(Kept(top / name, "it is yours", f"add to its include: - local: {GITLAB}"))
        else:
            files.append(File(top / name, text, replaces=force))
    for name, path in below(_SHIPPED).items() if GITHUB in CI[ci] else ():
        text, there = path.read_text(encoding="utf-8"), read(top / ACTION / name)
        if there != text:
            files.append(File(top / ACTION / name, text, replaces=force, copied=True))
    if hooks:
        before = read(top / HOOKS)
        try:
            after = with_hooks(before, policy)
        except ValueError as error:
            kept.append(
                Kept(top / HOOKS, f"{error}, so nothing was added", "add the repo by hand: docs/reference/init.md")
            )
        else:
            if after is None:
                kept.append(Kept(top / HOOKS, "it has mlship's hooks already"))
            else:
                files.append(File(top / HOOKS, after, replaces=before is not None))
    return files, kept


def rendered(name: str, policy: str, data: str | None) -> str:
    """A template of `templates/init`, filled in.

    Parameters
    ----------
    policy, data
        Paths from the top of the repository; data is None where no file of the repository holds the rows.
    """
    from importlib.metadata import version

    found = template(f"init/{name}").read_text(encoding="utf-8")
    paths = [policy, *([data] if data else [])]
    values = {
        "@POLICY@": json.dumps(policy),
        "@PATHS@": ", ".join(json.dumps(path) for path in paths),
        "@POLICY_ARGUMENT@": _shell(policy),
        "@PATTERN@": json.dumps(f"^{_pattern(policy)}$"),
        "@VERSION@": version("mlship"),
    }
    for mark, value in values.items():
        found = found.replace(mark, value)
    return found


def with_hooks(before: str | None, policy: str) -> str | None:
    """A pre-commit configuration with mlship's hooks; None when they are in it already.

    Hooks are added to a configuration that is there without a change to anything else in it. Raises ``ValueError`` when
    that cannot be done.
    """
    import yaml

    entry = rendered("pre-commit.yaml", policy, None)
    if before is None:
        return f"repos:\n{entry}"
    try:
        document = yaml.safe_load(before)
    except yaml.YAMLError:
        raise ValueError("it is not YAML") from None
    if not isinstance(document, dict) or not isinstance(document.get("repos"), list):
        raise ValueError("it has no list of repos")  # noqa: TRY004 - the caller knows one kind of trouble
    if any(hook == "mlship-validate" for hook in _hooks(document)):
        return None
    after = _appended(before, entry)
    added = yaml.safe_load(f"repos:\n{entry}")["repos"]
    try:
        if after is not None and yaml.safe_load(after) == {**document, "repos": [*document["repos"], *added]}:
            return after
    except yaml.YAMLError:
        pass
    raise ValueError("its repos are written in a way that nothing can be added to")


def _hooks(document: dict[str, Any]) -> list[str]:
    repos = [repo for repo in document["repos"] if isinstance(repo, dict)]
    return [str(hook.get("id")) for repo in repos for hook in repo.get("hooks") or [] if isinstance(hook, dict)]


def _appended(before: str, entry: str) -> str | None:
    """The entry after the last item of `repos`, indented as the items are; None when there is no such place."""
    lines = before.splitlines()
    start = next((n for n, line in enumerate(lines) if line.split("#")[0].rstrip() == "repos:"), None)
    if start is None:
        return None
    end, indent = len(lines), None
    for n, line in enumerate(lines[start + 1 :], start + 1):
        if line.lstrip().startswith("- ") and indent is None:
            indent = len(line) - len(line.lstrip())
        elif line and not line[0].isspace() and not line.startswith(("#", "-")):
            end = n
            break
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    margin = " " * ((2 if indent is None else indent) - 2) if (indent is None or indent >= 2) else None
    added = entry.splitlines()
    added = [line[2:] for line in added] if margin is None else [margin + line for line in added]
    return "\n".join([*lines[:end], *added, *lines[end:]]) + "\n"


def _shell(argument: str) -> str:
    import shlex

    return shlex.quote(argument)


def _pattern(path: str) -> str:
    import re

    return re.escape(str(PurePosixPath(path)))
