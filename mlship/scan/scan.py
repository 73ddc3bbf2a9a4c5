"""The scan of a model directory, kept by what it looked at, and the one question: may this model be loaded?"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version as installed
from pathlib import Path

from mlship.errors import ModelRefused, StateError
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.scan import mlmodel, names
from mlship.scan.files import Looker
from mlship.scan.findings import Finding, Findings, Kind, sorted_findings
from mlship.types import ModelVersion, Release

#: Changes whenever a scan may judge otherwise than the last version of this room did.
_RULES = 3


def scan(directory: Path, section: SecurityGate) -> Findings:
    """Look through every file of a model directory; nothing is unpickled, imported from it, or run.

    A directory that cannot be read is a finding too.
    """
    looker = Looker()
    looker.directory(directory)
    verdicts = names.judge_all({(module, name) for _file, module, name in looker.names}, section)
    found = {
        Finding(file, kind, f"{module}.{name}")
        for file, module, name in looker.names
        if (kind := verdicts[module, name]) is not None
    }
    found |= {Finding(file, Kind.UNREADABLE, why) for file, why in looker.faults}
    if not section.allow_code:
        found |= {Finding(file, Kind.CODE, what) for file, what in looker.code}
    found |= mlmodel.look(directory, section)
    return Findings(sorted_findings(found), looker.files, len(verdicts))


def scanned(version: ModelVersion | Release, section: SecurityGate, home: Home) -> Findings:
    """The scan of these very bytes under this section, made now or kept from before.

    The files are digested each time: what was scanned is what is there. Raises ``ModelRefused`` when they are no longer
    those that the registry handed out, ``StateError`` when the result cannot be kept.
    """
    from mlship.registry.files import digest_of

    where, hint = f"{version.model} version {version.version}", "run the command again; it fetches the model anew"
    if not (version.path / "MLmodel").is_file():
        raise ModelRefused(f"its files are gone from {version.path}", where=where, hint=hint)
    if (now := digest_of(version.path)) != version.digest:
        raise ModelRefused(f"its files have changed: {now} instead of {version.digest}", where=where, hint=hint)
    path = home.cache / "scans" / f"{_key(version.digest, section)}.json"
    if (kept := _kept(path)) is not None:
        return kept
    findings = scan(version.path, section)
    _keep(path, findings, home)
    return findings


def require(version: ModelVersion | Release, section: SecurityGate, home: Home) -> None:
    """Return when the model may be loaded.

    Raises ``ModelRefused`` that names what is not trusted, and where. A policy may turn the scan off.
    """
    if not section.scan:
        return
    findings = scanned(version, section, home)
    if not findings.safe:
        raise ModelRefused(
            f"the model is not loaded: {findings.told}",
            where=f"{version.model} version {version.version}",
            hint=advice(findings),
        )


def advice(findings: Findings) -> str:
    """What to do about the gravest finding."""
    kind = findings.found[0].kind
    if kind is Kind.CODE:
        return "read that code; if you trust it, set `gates: {security: {allow_code: true}}`"
    if kind is Kind.UNKNOWN:
        named = sorted({one.what for one in findings.found if one.kind is kind})
        return f"if you trust them, set `gates: {{security: {{allow_types: [{', '.join(named[:4])}]}}}}`"
    if kind is Kind.DANGEROUS:
        return "find out where this model comes from before anything loads it"
    if findings.found[0].file.rpartition("/")[2] == "MLmodel":
        return "log the model again: its MLmodel file may lead only to files that were logged with it"
    return "log the model again, with skops or cloudpickle"


def _key(digest: str, section: SecurityGate) -> str:
    rules = [section.allow_types, section.allow_code, _RULES]
    made_by = [digest, rules, *(installed(name) for name in ("picklescan", "skops", "scikit-learn"))]
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:40]


def _kept(path: Path) -> Findings | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(Finding(one["file"], Kind(one["kind"]), one["what"]) for one in document["found"])
        return Findings(found, int(document["files"]), int(document["types"]))
    except (OSError, ValueError, KeyError, TypeError):  # never scanned, or the file is damaged: it is scanned again
        return None


def _keep(path: Path, findings: Findings, home: Home) -> None:
    home.ensure(path.parent)
    document = {
        "found": [{"file": one.file, "kind": one.kind.value, "what": one.what} for one in findings.found],
        "files": findings.files,
        "types": findings.types,
    }
    fresh = path.with_suffix(f".{id(findings):x}")
    try:
        fresh.write_text(json.dumps(document), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise StateError(f"cannot keep the scan: {error.strerror or error}", where=str(path)) from error
