"""Verdicts on the machine: Python, platform, processors, memory, clock, disk, packages, proxies. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlship.health.verdict import Finding, Need, State, lacking
from mlship.policy.units import format_size
from mlship.report.figures import listed, things

#: What mlship runs on.
OLDEST_PYTHON = (3, 11)
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
#: Bytes: with less memory a model of ordinary size does not load beside the tool; with less disk an image does not fit.
_MEMORY, _ROOM, _LITTLE = 2 * 10**9, 2 * 10**9, 10**8
#: File systems over a network, where a lock may hold nobody back, and those that a restart empties.
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs")
_VOLATILE = ("tmpfs", "ramfs")
#: Seconds by which clocks may differ: tokens, leases and ledgers of several machines rest on them.
_SKEW = 5.0


def python(found: tuple[int, int, int], executable: str) -> Finding:
    """The interpreter."""
    version = ".".join(map(str, found))
    if found[:2] < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Finding(
            "machine",
            "python",
            State.MISSING,
            f"Python {version}; {wanted} or later is needed",
            f"uv venv --python {wanted}",
        )
    return Finding("machine", "python", State.OK, f"Python {version} ({executable})")


def platform(system: str, machine: str, engine: Need) -> Finding:
    """The operating system and its processors' kind."""
    shown = f"{system} on {machine}"
    if system not in {"Linux", "Darwin"}:
        return lacking(
            "machine", "platform", engine, f"{shown}: the local engine runs on Linux and macOS only", "wsl --install"
        )
    if machine.lower() not in MACHINES:
        return lacking(
            "machine", "platform", engine, f"{shown}: there is no Envoy for it; use engine docker", "uname -m"
        )
    return Finding("machine", "platform", State.OK, shown)


def processors(count: float, memory: int | None) -> Finding:
    """What this process may use, limits of its container among it; `memory` in bytes."""
    shown = f"{count:g} CPU{'s' * (count != 1)}, {format_size(memory) if memory is not None else 'unknown'} of memory"
    if count < 2:
        what = f"{shown}: router, two servers and the controller share one, so latency comparisons are noisy"
        return Finding("machine", "cpu and memory", State.WARNING, what)
    if memory is not None and memory < _MEMORY:
        what = f"{shown}: below {format_size(_MEMORY)} two versions of a model may not fit"
        return Finding("machine", "cpu and memory", State.WARNING, what)
    return Finding("machine", "cpu and memory", State.OK, shown)


def clock(now: float, last_entry: float | None, zone: str, unknown_zones: tuple[str, ...]) -> list[Finding]:
    """The clock against the ledger's last entry, and the time zones that the policy names."""
    import time

    shown = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC, local zone {zone}"
    found = [Finding("machine", "clock", State.OK, shown)]
    if last_entry is not None and last_entry > now + _SKEW:
        what = f"{shown}: {last_entry - now:,.0f} s behind the ledger's last entry; leases and tokens rest on the clock"
        found = [Finding("machine", "clock", State.WARNING, what, "timedatectl set-ntp true")]
    if unknown_zones:
        what = f"unknown here: {listed(list(unknown_zones))}, named by rollout.freeze"
        found.append(Finding("machine", "time zones", State.MISSING, what, "pip install --upgrade tzdata"))
    return found


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the state directory is, or will be."""

    path: str
    exists: bool
    fault: str
    """Why nothing can be written there; empty when something can."""
    free: int
    """Bytes."""
    kind: str
    """Of file system; empty when unknown."""
    device: str = ""


def disk(found: Disk) -> list[Finding]:
    """Whether it is writable, on what, and with how much room."""
    if found.fault:
        what = f"{found.path} cannot be written: {found.fault}"
        return [Finding("state", "directory", State.MISSING, what, 'export MLSHIP_HOME="$HOME/.mlship"')]
    there = "" if found.exists else "; it is made at the first use"
    on = f"{found.kind} on {found.device}" if found.kind else "an unknown file system"
    directory = Finding("state", "directory", State.OK, f"{found.path} is writable{there}")
    kind = Finding("state", "file system", State.OK, on)
    if found.kind in _NETWORK:
        what = f"{on}: a lock there may hold nobody back; a local disk is safer"
        kind = Finding("state", "file system", State.WARNING, what, 'export MLSHIP_HOME="$HOME/.mlship"')
    elif found.kind in _VOLATILE:
        what = f"{on}: a restart empties it, and ledger and registry with it"
        kind = Finding("state", "file system", State.WARNING, what, 'export MLSHIP_HOME="$HOME/.mlship"')
    room = Finding("state", "free space", State.OK, f"{format_size(found.free)} free")
    if found.free < _ROOM:
        state = State.MISSING if found.free < _LITTLE else State.WARNING
        what = f"{format_size(found.free)} free; models, images and journals need {format_size(_ROOM)} or so"
        room = Finding("state", "free space", state, what, f"du -xh --max-depth=2 {found.path} | sort -h | tail")
    return [directory, kind, room]


def ledger(entries: int, damage: str, torn: int, fault: str, path: str) -> Finding:
    """Whether each entry follows from the one before it."""
    if fault:
        return Finding("state", "ledger", State.MISSING, fault, f"ls -l {path}")
    if damage:
        return Finding("state", "ledger", State.MISSING, damage, f"mv {path} {path}.damaged")
    if torn:
        cut = f"{torn} bytes of a write that was cut short, which the next one moves aside"
        what = f"{things(entries, 'entry', 'entries')}, and {cut}"
        return Finding("state", "ledger", State.WARNING, what)
    return Finding(
        "state", "ledger", State.OK, f"{things(entries, 'entry', 'entries')}, each follows from the one before it"
    )


def extra(name: str, what_for: str, need: Need, faults: Mapping[str, str]) -> Finding:
    """One extra of mlship. `faults`: package -> what is wrong with it; empty when all is there."""
    if not faults:
        state = State.NOT_NEEDED if need is Need.NO else State.OK
        return Finding("packages", name, state, f"installed ({what_for})")
    said = listed([f"{package} {fault}" for package, fault in faults.items()], 4)
    return lacking("packages", name, need, f"{said}; needed for {what_for}", f"pip install 'mlship[{name}]'")


def proxies(found: Mapping[str, str], bypassed: Mapping[str, bool]) -> Finding:
    """Proxies of the environment. `bypassed`: host that must be reached directly, or is inside -> whether it is."""
    if not found:
        return Finding("network", "proxies", State.OK, "none is set")
    shown = listed([f"{name}={url}" for name, url in found.items()], 4)
    through = [host for host, past in bypassed.items() if not past]
    if through:
        what = f"{shown}: requests to {listed(through)} go through it too"
        return Finding("network", "proxies", State.WARNING, what, f'export NO_PROXY="{",".join(bypassed)}"')
    return Finding("network", "proxies", State.OK, f"{shown}; {listed(list(bypassed))} reached directly")
