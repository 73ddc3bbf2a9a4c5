"""The packages that a model asks for: which of them name an exact version, and which are known to be vulnerable."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlship.home import Home
from mlship.report.figures import listed

#: Read in this order; the first that names packages counts, for MLflow writes the same list into each.
_FILES = ("requirements.txt", "python_env.yaml", "conda.yaml")
_COMMIT = re.compile(r"@[0-9a-f]{40}\b|#sha256=")
#: Seconds that an audit may take, and that its result is believed.
_AUDIT_SECONDS, _FRESH = 120.0, 86400.0


@dataclass(frozen=True, slots=True)
class Required:
    """One package that the model asks for."""

    text: str
    """As it is written."""
    name: str
    version: str | None
    """The exact version; None when it is open."""


def required(directory: Path) -> tuple[Required, ...]:
    """The packages of a model directory, from the first of its files that names some."""
    for name in _FILES:
        path = directory / name
        try:
            lines = path.read_text(encoding="utf-8") if path.is_file() else ""
        except (OSError, UnicodeDecodeError):
            continue
        found = _packages(lines.splitlines() if name.endswith(".txt") else _of_yaml(lines))
        if found:
            return found
    return ()


def _of_yaml(text: str) -> list[str]:
    """Pip's lines in the environment files that MLflow writes; `-r requirements.txt` among them is read by itself."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    entries = document.get("dependencies") if isinstance(document, dict) else None
    lines: list[str] = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            lines += [str(line) for line in entry.get("pip") or []]
        elif isinstance(entry, str):
            lines.append(re.sub(r"^([\w.-]+)=([^=].*)$", r"\1==\2", entry))  # conda pins with one sign
    return [line for line in lines if re.split(r"[^\w.-]", line, maxsplit=1)[0] not in ("python", "pip")]


def _packages(lines: list[str]) -> tuple[Required, ...]:
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in lines:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not text or text.startswith("-"):
            continue
        plain = re.split(r"\s--", text)[0].strip()  # --hash and the like
        try:
            one = Requirement(plain)
        except InvalidRequirement:
            found.append(Required(text, text, None))
            continue
        exact = [pin.version for pin in one.specifier if pin.operator in ("==", "===") and "*" not in pin.version]
        pinned = exact[0] if exact else (one.url if one.url and _COMMIT.search(one.url) else None)
        found.append(Required(text, one.name, pinned))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Vulnerable:
    """One known vulnerability of one package."""

    package: str
    version: str
    id: str
    fixed: tuple[str, ...]
    """Versions that do not have it."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What is known about the packages, or why nothing is."""

    found: tuple[Vulnerable, ...] = ()
    looked_at: int = 0
    skipped: tuple[str, ...] = ()
    """Packages about whose version nothing is known."""
    reason: str = ""
    """Why there is no audit; empty when there is one."""


def audit(packages: tuple[Required, ...], home: Home) -> Audit:
    """Known vulnerabilities of the packages, by pip-audit in a process of its own, asked at most once a day.

    A package without an exact version is looked up in the version that is installed here, for that is the one the model
    would meet.
    """
    if find_spec("pip_audit") is None:
        return Audit(reason="pip-audit is not installed: pip install 'mlship[audit]'")
    pins: dict[str, str] = {}
    skipped = []
    for one in packages:
        known = one.version if one.version and re.fullmatch(r"[\w.!+-]+", one.version) else _installed(one.name)
        if known is None:
            skipped.append(one.name)
        else:
            pins[one.name] = known
    if not pins:
        return Audit(skipped=tuple(skipped), reason="none of the packages has a version that could be looked up")
    key = hashlib.sha256(json.dumps(sorted(pins.items())).encode()).hexdigest()[:40]
    path = home.ensure(home.cache / "audits") / f"{key}.json"
    report = _fresh(path)
    if report is None:
        report, reason = _asked(pins)
        if report is None:
            return Audit(reason=reason)
        path.write_text(json.dumps(report), encoding="utf-8")
    unknown = [str(one.get("name")) for one in report["dependencies"] if "skip_reason" in one]
    found = [
        Vulnerable(
            str(one["name"]), str(one["version"]), str(flaw["id"]), tuple(map(str, flaw.get("fix_versions", ())))
        )
        for one in report["dependencies"]
        for flaw in one.get("vulns", ())
    ]
    if len(unknown) == len(pins):
        return Audit(reason=f"pip-audit knows nothing about {listed(sorted({*skipped, *unknown}))}")
    return Audit(tuple(found), len(pins) - len(unknown), tuple(sorted({*skipped, *unknown})))


def _asked(pins: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """The report of pip-audit, or why there is none."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "requirements.txt"
        path.write_text("".join(f"{name}=={pin}\n" for name, pin in sorted(pins.items())), encoding="utf-8")
        options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
        command = [sys.executable, "-P", "-m", "pip_audit", "-r", str(path), *options]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_AUDIT_SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return None, f"pip-audit did not answer within {_AUDIT_SECONDS:.0f} s"
    try:
        report = json.loads(done.stdout)
        if isinstance(report["dependencies"], list):
            return report, ""
    except (ValueError, KeyError, TypeError):
        pass
    said = done.stderr.strip().splitlines()
    last = re.sub(r"://[^/@\s]*@", "://", said[-1])[:200] if said else f"exit code {done.returncode}"
    return None, f"pip-audit could not look them up: {last}"


def _fresh(path: Path) -> dict[str, Any] | None:
    try:
        if time.time() - path.stat().st_mtime < _FRESH:
            report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return report
    except (OSError, ValueError):  # never asked, or the file is damaged
        pass
    return None


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
