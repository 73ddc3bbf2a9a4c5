"""`mlship build`: the serving image of the candidate, recorded in the ledger and on the model version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from mlship.cli.answers import answer
from mlship.cli.common import PolicyArgument, context, drawn, steps
from mlship.cli.telling import Format, FormatOption, tell
from mlship.errors import ModelRefused, UsageError
from mlship.types import Image, LedgerEntry, ModelVersion

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from mlship.home import Home
    from mlship.images.attest import Attested
    from mlship.policy.load import LoadedPolicy

#: Seconds between two lines about one long step, where nobody sees a bar.
QUIET_SECONDS = 5.0


class Told(Protocol):
    """What a build tells while it runs."""

    def __call__(self, step: str) -> None:
        """One step begins."""

    def watch(self, what: str, done: int, total: int) -> None:
        """A build, a pull or a push is this far."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image and what it was built of."""

    image: Image
    version: ModelVersion
    layers: tuple[tuple[str, int], ...]
    """What has added how many bytes, the largest first."""
    packages: int
    log: str
    """Path of the builder's log; empty where this state directory has none."""
    attested: Attested | None
    """What is stated of it; None where this state directory does not know what it was made of."""
    seconds: float
    """That this command took from the registry's answer on."""


def build(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    candidate: Annotated[
        str | None,
        typer.Option(
            help="Build this version (7, @alias or latest) instead of the policy's candidate.", metavar="VERSION"
        ),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push it to the repository that the policy names.")] = False,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Build the candidate's serving image, unless it is there already.

    Progress goes to stderr; the builder's whole log is kept in the state directory.

    \b
    Examples:
      mlship build mlship.yaml
      mlship build mlship.yaml --candidate @champion --format json
    """
    from mlship.policy.load import load_policy

    if candidate is not None and not candidate.strip():  # an unset variable of a script, as a rule
        raise UsageError("--candidate is empty", hint="name a version: 7, @alias or latest")
    loaded = load_policy(policy)
    with told_on_stderr() as told:
        built = run(loaded, context(ctx).home, told, candidate=candidate, push=push)
    outputs = {"candidate-version": built.version.version, "image-digest": built.image.id}
    lines = conclusion(built).splitlines()
    tell(answer("build", built.version.model, lines, document(built), outputs=outputs), fmt)


def run(loaded: LoadedPolicy, home: Home, told: Told, *, candidate: str | None = None, push: bool = False) -> Built:
    """Resolve the candidate, scan it, build its image, and record it: in the ledger, and as tags of the model version.

    The image names the latest evaluation that this very version has passed under this very policy, if there is one.
    Raises ``ModelRefused`` when the scan finds what the policy does not trust; ``RegistryError``; and what
    ``images.build.build`` raises.
    """
    from mlship.engines.options import options
    from mlship.images import record, size
    from mlship.images.attest import attest
    from mlship.images.build import build as make
    from mlship.images.daemon import connect
    from mlship.images.statement import Gate
    from mlship.ledger import Ledger
    from mlship.registry import Registry

    policy = loaded.policy
    told("reaching the registry")
    registry, ledger = Registry.connect(policy.registry.uri, home), Ledger(home.ledger)
    reference = candidate or policy.candidate
    told(f"fetching {policy.model} {reference}")
    version = registry.version(policy.model, reference)
    _scan(version, loaded, home)
    entries, began = ledger.entries(policy.model), time.monotonic()
    passed = _passed(entries, version, loaded.digest)
    image = make(
        version,
        policy,
        loaded.digest,
        resolve=loaded.resolve,
        home=home,
        evaluation_id=passed.evidence.get("evaluation", "") if passed else "",
        arguments=options(policy, loaded.digest).arguments(),
        push=push,
        say=told,
        watch=told.watch,
    )
    client = connect()
    try:
        layers = tuple(size.layers(client, image.id))
    finally:
        client.close()
    kept, log = record.load(home, image.context), record.path(home, image.context, ".log")
    attested = None
    if kept is not None:
        told("stating what it holds and what was proved of it")
        run_id = passed.evidence.get("run") if passed else None
        gates = [Gate(f"{gate}/{rule}", status) for gate, rule, status in (registry.results(run_id) if run_id else ())]
        key = loaded.resolve(policy.image.sign) if policy.image and policy.image.sign else None
        attested = attest(kept, gates, home, key)
    built = Built(
        image=image,
        version=version,
        layers=layers,
        packages=len(kept.packages) if kept else 0,
        log=str(log) if log.is_file() else "",
        attested=attested,
        seconds=time.monotonic() - began,
    )
    entry = _entry(built, loaded)
    if not any(one.action == "built" and one.evidence == entry.evidence for one in entries):
        ledger.append(entry)
    tags = {"mlship.image": image.reference, "mlship.image_digest": image.id}
    registry.tag(version, tags | ({"mlship.image_pushed": image.pushed} if image.pushed else {}))
    return built


def _scan(version: ModelVersion, loaded: LoadedPolicy, home: Home) -> None:
    """Nothing is packed that no server may load."""
    from mlship.scan.scan import require

    try:
        require(version, loaded.policy.gates.security, home)
    except ModelRefused as error:
        what = error.what.replace("is not loaded", "gets no image")
        raise ModelRefused(what, where=error.where, hint=error.hint) from None


def _passed(entries: list[LedgerEntry], version: ModelVersion, policy_digest: str) -> LedgerEntry | None:
    """The latest evaluation of this version under this policy, if it passed."""
    for entry in reversed(entries):
        found = entry.evidence
        if entry.action == "evaluated" and (found.get("model"), found.get("policy")) == (version.digest, policy_digest):
            return entry if found.get("status") == "passed" else None
    return None


def _entry(built: Built, loaded: LoadedPolicy) -> LedgerEntry:
    from mlship.images.size import shown
    from mlship.ledger import who

    image, version = built.image, built.version
    evidence = {
        "model": version.digest,
        "image": image.id,
        "context": image.context,
        "reference": image.reference,
        "policy": loaded.digest,
        "evaluation": image.evaluation_id,
        "pushed": image.pushed,
    }
    return LedgerEntry(
        at=time.time(),
        who=who(),
        action="built",
        model=version.model,
        from_version=None,
        to_version=version.version,
        reason=f"{image.reference}: {shown(image.size)}, {built.packages} packages"
        + (f", pushed as {image.pushed}" if image.pushed else ""),
        evidence={name: value for name, value in evidence.items() if value},
    )


def document(built: Built) -> dict[str, Any]:
    """The result as JSON says it; sizes in bytes."""
    image = built.image
    return {
        "model": built.version.model,
        "version": built.version.version,
        "reference": image.reference,
        "id": image.id,
        "context": image.context,
        "pushed": image.pushed or None,
        "model_digest": image.model,
        "evaluation": image.evaluation_id or None,
        "size": image.size,
        "layers": [{"name": name, "size": size} for name, size in built.layers],
        "packages": built.packages,
        "log": built.log or None,
        "sbom": str(built.attested.sbom) if built.attested else None,
        "statement": str(built.attested.statement) if built.attested else None,
        "signed": built.attested.signed if built.attested else False,
        "seconds": round(built.seconds, 3),
        "exit_code": 0,
    }


def conclusion(built: Built) -> str:
    """What there is now, as a person reads it."""
    from mlship.images.size import shown

    image = built.image
    lines = [
        f"{image.reference}: {built.version.model} version {built.version.version}, {shown(image.size)}",
        f"  id         {image.id}",
        f"  layers     {', '.join(f'{name} {shown(size)}' for name, size in built.layers)}",
        f"  packages   {built.packages}, each locked by its hash",
        f"  evaluation {image.evaluation_id or 'none passed yet under this policy'}",
    ]
    if image.pushed:
        lines.append(f"  pushed     {image.pushed}")
    if built.attested:
        lines.append(f"  holds      {built.attested.sbom}")
        how = "signed" if built.attested.signed else "not signed"
        lines.append(f"  statement  {built.attested.statement} ({how})")
    if built.log:
        lines.append(f"  log        {built.log}")
    return "\n".join([*lines, f"  took       {built.seconds:.1f} s"])


@contextmanager
def told_on_stderr() -> Iterator[Told]:
    """Progress for as long as the build runs: one line a step, and on a terminal a bar below them."""
    console = steps()
    if not drawn(console):
        yield _Lines(console)
        return
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
    with Bars(*columns, TaskProgressColumn(), TimeElapsedColumn(), console=console, transient=True) as bars:
        yield _Bar(console, bars)


class _Lines:
    """One line a step, with the time since the first."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._at = time.monotonic()

    def __call__(self, step: str) -> None:
        self._at = time.monotonic()
        self._console.print(f"mlship: {self._at - self._began:5.1f} s  {step}", markup=False)

    def watch(self, what: str, done: int, total: int) -> None:
        if what != "build" and 0 < done < total and time.monotonic() - self._at > QUIET_SECONDS:
            self(f"{what}: {done / total:.0%}")


class _Bar(_Lines):
    """The same lines, above a bar."""

    def __init__(self, console: Console, bars: Bars) -> None:
        super().__init__(console)
        self._bars = bars
        self._task: TaskID = bars.add_task("build", total=None)

    def watch(self, what: str, done: int, total: int) -> None:
        self._bars.update(self._task, description=what, completed=done, total=total)
