"""Looks facts up: at packages, files, programs and ports. Changes nothing; a look may take seconds, or hang."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlship.errors import MlshipError
from mlship.health import machine, services
from mlship.home import Home

if TYPE_CHECKING:
    from docker import DockerClient

#: Seconds that one question may take; looks that ask several stay below the limit of a check.
SECONDS = 3.0


def python() -> tuple[tuple[int, int, int], str]:
    """Version and path of the interpreter."""
    return (sys.version_info.major, sys.version_info.minor, sys.version_info.micro), sys.executable


def cpus() -> float:
    """CPUs that this process may use: by affinity, and by its container's quota."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _first("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        count = min(count, int(quota[0]) / int(quota[1]))
    return round(count, 2)


def memory() -> int | None:
    """Bytes of memory: the machine's, or its container's limit."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    limit = _first("/sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def unknown_zones(names: tuple[str, ...]) -> tuple[str, ...]:
    """Time zones that cannot be found here."""
    from zoneinfo import ZoneInfo

    def lacks(name: str) -> bool:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            return True
        return False

    return tuple(name for name in names if lacks(name))


def disk(home: Home) -> machine.Disk:
    """The state directory, or the nearest directory above it that is there; a file is written there and removed."""
    exists, at = home.path.is_dir(), home.path
    while not at.exists() and at != at.parent:
        at = at.parent
    fault = ""
    if at.exists() and not at.is_dir():
        fault = f"{at} is a file"
    else:
        try:
            with tempfile.TemporaryFile(dir=at) as file:
                file.write(b"mlship")
        except OSError as error:
            fault = error.strerror or str(error)
    try:
        free = shutil.disk_usage(at).free
    except OSError:
        free = 0
    kind, device = _mount(at)
    return machine.Disk(str(home.path), exists, fault, free, kind, device)


def ledger(home: Home) -> tuple[int, str, int, str, float | None]:
    """Entries, damage, bytes of a write that was cut short, why it cannot be read, time of the last entry."""
    from mlship.ledger import Ledger

    try:
        reading = Ledger(home.ledger).read()
        content = home.ledger.read_bytes() if home.ledger.exists() else b""
    except (MlshipError, OSError) as error:
        return 0, "", 0, getattr(error, "what", "") or str(error), None
    last = reading.entries[-1].at if reading.entries else None
    torn = len(content) - content.rfind(b"\n") - 1
    return len(reading.entries), reading.damage.what if reading.damage else "", torn, "", last


def extras() -> dict[str, dict[str, str]]:
    """Of each extra of mlship, the packages that are not there, or too old: package -> what is wrong."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    found: dict[str, dict[str, str]] = {}
    for text in requires("mlship") or []:
        wanted = Requirement(text)
        for name in _extra_names(text):
            faults = found.setdefault(name, {})
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": name}):
                continue
            if wanted.name == "mlship":
                continue  # an extra that stands for another one's packages: those are listed too
            try:
                have = version(wanted.name)
            except PackageNotFoundError:
                faults[wanted.name] = "is not installed"
            else:
                if not wanted.specifier.contains(have, prereleases=True):
                    faults[wanted.name] = f"is {have}, and {wanted.specifier} is needed"
    return found


def envoy() -> tuple[str, str]:
    """Version of the router's program, and why it does not run."""
    from mlship.engines.start import envoy_binary

    try:
        path = envoy_binary()
    except MlshipError as error:
        return "", error.what
    said, fault = _said([str(path), "--version"])
    parts = said.split("version:")[-1].strip().split("/")
    return (parts[1] if len(parts) > 1 else said.strip()), f"{path} does not run: {fault}" if fault else ""


def docker(base: str) -> services.Docker:
    """The engine that `docker` would use, and whether the base image is there."""
    from mlship.images import daemon

    address = ""
    try:
        address = daemon.where()
        client = daemon.connect(timeout=int(SECONDS))
        try:
            with daemon.faults("ask the Docker engine"):
                told = client.version()
                present = _has(client, base)
        finally:
            client.close()
    except MlshipError as error:
        return services.Docker(address, fault=error.what, hint=_command(error.hint), base=base)
    platform = f"{told.get('Os', '')}/{told.get('Arch', '')}"
    return services.Docker(address, str(told.get("Version", "")), platform, base=base, has_base=present)


def _has(client: DockerClient, image: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.api.inspect_image(image)
    except ImageNotFound:
        return False
    return True


def _command(hint: str) -> str:
    """The one command of a hint of the Docker engine's faults."""
    for start in ("systemctl start docker", "sudo usermod -aG docker $USER", "pip install", "docker context ls"):
        if start in hint:
            return hint if hint.startswith("pip install") else start
    return "docker context ls"


def port(listen: str, home: Home, model: str | None) -> tuple[str, str, bool]:
    """Why the address cannot be opened, who has it, and whether that is this model's own router."""
    from mlship.engines import envoy, processes, state, table

    host, number = envoy.split(listen)
    try:
        error = state.bindable(host, number)
    except (OSError, OverflowError) as fault:
        return str(fault), "", False
    if error is None:
        return "", "", False
    ours = False
    if model is not None and model in table.running(home):
        try:
            address = urlsplit(table.found(home, model).address)
            ours = address.port == number
        except (MlshipError, ValueError):
            ours = False
    return os.strerror(error.errno) if error.errno else str(error), processes.listener(number), ours


def git(here: Path) -> tuple[str, bool, str]:
    """Version, whether we are in a work tree, and the name that commits would carry."""
    said, fault = _said(["git", "--version"])
    if fault:
        return "", False, ""
    inside, _ = _said(["git", "-C", str(here), "rev-parse", "--is-inside-work-tree"])
    name, _ = _said(["git", "-C", str(here), "config", "--get", "user.name"])
    return said.strip(), inside.strip() == "true", name.strip()


def proxies(uri: str | None, home: Home) -> tuple[dict[str, str], dict[str, bool]]:
    """Proxies of the environment without passwords, and which of our hosts are reached past them."""
    import urllib.request

    from mlship.registry import connection

    found = {
        name: connection.safe(url)
        for name, url in urllib.request.getproxies_environment().items()
        if name in ("http", "https", "all") and url
    }
    hosts = {"127.0.0.1", "localhost"}
    host = urlsplit(connection.choose(uri, home)[0]).hostname if "://" in connection.choose(uri, home)[0] else None
    past = {one: bool(urllib.request.proxy_bypass(one)) for one in sorted(hosts)}
    if host and _private(host):
        past[host] = bool(urllib.request.proxy_bypass(host))
    return {f"{name}_proxy": url for name, url in found.items()}, past


def models(home: Home) -> list[str]:
    """Models that serve here, or have a story in the ledger."""
    from mlship.engines import table
    from mlship.ledger import Ledger

    try:
        told = {entry.model for entry in Ledger(home.ledger).read().entries}
    except MlshipError:
        told = set()
    return sorted({*table.running(home), *told})


def _private(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))


def _extra_names(text: str) -> list[str]:
    import re

    return re.findall(r"extra\s*==\s*[\"']([^\"']+)[\"']", text)


def _said(command: list[str]) -> tuple[str, str]:
    """What a program prints, and why it does not run."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {SECONDS:g} s"
    except OSError as error:
        return "", error.strerror or str(error)
    if done.returncode:
        return done.stdout, " ".join(done.stderr.split())[:200] or f"it ended with {done.returncode}"
    return done.stdout, ""


def _mount(path: Path) -> tuple[str, str]:
    """File system and device of a path, from the kernel's table; empty where there is none."""
    best, found = -1, ("", "")
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    real = os.path.realpath(path)
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best and len(parts := rest.split()) >= 2:
            best, found = len(point), (parts[0], parts[1])
    return found


def _first(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
