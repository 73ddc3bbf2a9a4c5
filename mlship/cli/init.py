"""`mlship init`: drafts a policy from the champion's own figures, with a workflow and pre-commit hooks beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import a_model, a_rate, context
from mlship.cli.telling import Format, FormatOption, tell
from mlship.errors import UsageError

if TYPE_CHECKING:
    from mlship.cli.init_questions import Asking
    from mlship.draft.around import Kept
    from mlship.draft.find import Drafted
    from mlship.draft.measure import Asked
    from mlship.draft.place import File
    from mlship.draft.world import Seen


class Ci(StrEnum):
    """Whose pipeline is written."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


def init(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Name of the registered model; default: the only one.", callback=a_model),
    ] = None,
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Rows with labels that the champion is measured on: Parquet, CSV or JSON lines.", metavar="FILE"
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column of the rows that holds the label.", metavar="COLUMN")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="The column that holds the time of the row.", metavar="COLUMN")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Rows that the model was trained on.", metavar="FILE")] = None,
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code", help="Trust Python code that was logged with the model: run it, and say so in the policy."
        ),
    ] = False,
    registry: Annotated[
        str | None,
        typer.Option(help="The registry's URI; default: MLFLOW_TRACKING_URI, else the embedded one.", metavar="URI"),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Requests a second that callers send, such as 50/s.", metavar="RATE")
    ] = None,
    team: Annotated[
        str | None, typer.Option(help="The team that owns the model; default: git's user.name.", metavar="NAME")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="What reaches the team; default: git's user.email.", metavar="ADDRESS")
    ] = None,
    policy: Annotated[Path, typer.Option(help="The policy to write.", metavar="FILE")] = Path("mlship.yaml"),
    ci: Annotated[Ci | None, typer.Option(help="Whose workflow to write; default: github in a git repository.")] = None,
    pre_commit: Annotated[
        bool | None,
        typer.Option("--pre-commit/--no-pre-commit", help="Add mlship's hooks; default: in a git repository."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Print the files instead of writing them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take options and defaults.")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Draft a policy from the champion's own figures, with a workflow and hooks.

    Looks at the registry and at the rows given, measures the champion by the gates' own code, and writes limits that it
    passes; beside every number stands where it comes from. At a terminal it asks for what it is not told; elsewhere,
    and with --yes, it takes options and defaults and never waits. Files that are there stay unless --force is given.

    \b
    Examples:
      mlship init flight-delay
      mlship init flight-delay --data july.parquet --target late --force
      mlship init flight-delay --policy draft.yaml --ci gitlab --yes
    """
    from mlship.cli.init_questions import Asking
    from mlship.cli.init_views import Outcome, told
    from mlship.cli.progress import told_on_stderr
    from mlship.draft import world
    from mlship.draft.find import drafted
    from mlship.draft.place import place

    home, here = context(ctx).home, Path.cwd()
    asking = Asking(waits=not yes and _terminal())
    _sensible(data, target, time, reference)
    per_second = a_rate(rate)
    policy = policy.absolute()
    top = world.top(policy.parent) or (world.top(here) if not policy.parent.exists() else None)
    if not force and not dry_run:
        _free(policy, "--policy names another file, --force replaces it")
    with told_on_stderr("drafting") as progress:
        progress("looking at the registry")
        seen = world.look(registry, home)
    name = _model(model, seen, asking)
    asked = _rows(data, target, time, reference, asking, inputs=partial(_inputs, seen, name))
    per_second = per_second if per_second is not None else asking.rate()
    owner = asking.owner(world.git_owner(here), team, contact)
    ci = ci if ci is not None else asking.ci(Ci.GITHUB if top else Ci.NONE, Ci)
    hooks = pre_commit if pre_commit is not None else asking.hooks(default=top is not None)
    with told_on_stderr("judging") as progress:
        draft = drafted(
            name,
            asked,
            seen,
            home,
            policy,
            owner=owner,
            where=world.where(registry, os.environ, answered=seen.registry is not None),
            allow_code=allow_code,
            rate=per_second,
            today=date.today(),  # noqa: DTZ011 - a day on the calendar of whoever owns the model
            progress=progress,
        )
    files, kept = _files(draft, policy, top or here, ci, hooks=hooks, force=force, shown=dry_run)
    if not dry_run:
        place(files)
    tell(told(Outcome(draft, tuple(files), tuple(kept), written=not dry_run, policy=policy), here), output)


def _terminal() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def _sensible(data: Path | None, target: str | None, time: str | None, reference: Path | None) -> None:
    """Raises ``UsageError`` for options that mean nothing without another."""
    for option, value in (("--target", target), ("--time", time), ("--reference", reference)):
        if value is not None and data is None:
            raise UsageError(f"{option} says something about rows, and there is no --data", hint="add --data FILE")
        if isinstance(value, str) and not value.strip():
            raise UsageError(f"{option} is empty", hint="name a column of the rows")


def _free(path: Path, hint: str) -> None:
    """Raises ``UsageError`` when something is there."""
    if path.exists() or path.is_symlink():
        raise UsageError("it is there already: nothing was written", where=str(path), hint=hint)


def _model(model: str | None, seen: Seen, asking: Asking) -> str:
    """The model's name: as given, the only one, or as asked. Raises ``UsageError`` or what the registry raised."""
    from mlship.report.figures import listed, nearest

    names = [one.name for one in seen.models]
    if model is not None:
        if not model.strip():
            raise UsageError("the model's name is empty", hint="mlship init MODEL")
        if names and model not in names:
            what = f"the registry has no model named '{model}'{nearest(model, names)}"
            raise UsageError(what, hint=f"it has {listed(names, 20)}; --registry asks another one")
        return model
    if len(names) == 1 and not asking.waits:
        return names[0]
    if asking.waits:
        return asking.model(names)
    if names:
        raise UsageError(
            f"the registry has {len(names)} models: {listed(names, 20)}", hint="name one: mlship init MODEL"
        )
    if seen.trouble is not None:
        raise seen.trouble
    what = "there is no registry here" if seen.absent else "the registry has no model"
    raise UsageError(f"{what}, so the model's name is not known", hint="name it: mlship init MODEL")


def _inputs(seen: Seen, name: str) -> tuple[str, ...]:
    """The columns that the model takes; none where nobody can tell."""
    from mlship.draft import world

    version = world.to_measure(seen, name)[2]
    return version.inputs if version is not None else ()


def _rows(
    data: Path | None,
    target: str | None,
    time: str | None,
    reference: Path | None,
    asking: Asking,
    *,
    inputs: Callable[[], tuple[str, ...]],
) -> Asked | None:
    """The rows to measure on; None where there are none. `inputs` tells which columns the model takes."""
    from mlship.draft.measure import Asked

    if data is None:
        data = asking.data()
        if data is None:
            return None
    for option, path in (("--data", data), ("--reference", reference)):
        if path is not None and "*" not in str(path) and not path.exists():
            raise UsageError(
                f"{option}: there is no file {path}", hint="name Parquet, CSV or JSON lines, or a glob of them"
            )
    choice = asking.columns(data, inputs) if asking.waits else None
    target = target if target is not None else asking.target(data, choice)
    if target is None:
        raise UsageError("--data needs --target", hint="--target COLUMN: the column that holds the label")
    time = time if time is not None else asking.time(target, choice)
    reference = reference if reference is not None else asking.reference()
    return Asked(data.absolute(), target, time, reference.absolute() if reference else None)


def _files(
    draft: Drafted, policy: Path, top: Path, ci: str, *, hooks: bool, force: bool, shown: bool
) -> tuple[list[File], list[Kept]]:
    """The policy and what stands around it.

    Raises ``UsageError`` for a file that is in the way, unless they are only `shown`.
    """
    from mlship.draft.around import around
    from mlship.draft.find import path_in
    from mlship.draft.place import File

    data = draft.facts.data
    rows = (policy.parent / data.path) if data else None
    inside = rows is not None and rows.resolve().is_relative_to(top.resolve()) and draft.facts.data is not None
    files, kept = around(
        top,
        ci,
        hooks=hooks,
        policy=path_in(policy, top),
        data=path_in(rows, top) if rows is not None and inside else None,
        read=_text,
        force=force,
    )
    for file in files:
        if not file.replaces and not shown:
            _free(file.path, "--force replaces it; --ci none and --no-pre-commit leave it alone")
    return [File(policy, draft.loaded.text, replaces=force), *files], kept


def _text(path: Path) -> str | None:
    """The text of a file; None when there is none. Raises ``UsageError`` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"cannot be read: {what}", where=str(path), hint="mend it, or leave it out: --ci none --no-pre-commit"
        ) from None
