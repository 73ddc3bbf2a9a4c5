"""The process manager: its configuration, its start, and a small client. It keeps router and servers alive."""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlship.engines.processes import MARK
from mlship.engines.state import write
from mlship.errors import EngineError

USER = "mlship"
CONFIG = "supervisord.conf"
ROUTER, GUARDIAN = "envoy", "guardian"

#: A process that ends sooner has failed to start, and is tried again after 1, 2, 3 ... seconds; later than that it is
#: restarted at once. Longer than most models take to load, so that one that cannot load does not spin.
START_SECONDS = 20
START_RETRIES = 5
#: The guardian is up as soon as it runs, and whenever it has ended it is started again.
_AT_ONCE = {GUARDIAN: 0}
#: Between SIGTERM and SIGKILL. A server finishes the requests it has, which it may take 30 s for.
STOP_SECONDS = 35

#: One row at a time is too little work for several threads; they would only get into each other's way.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def config(port: int, password: str, programs: Iterable[str]) -> str:
    """Text of supervisord.conf.

    Every path is relative to the engine's directory, where supervisord runs: `%`, `;`, `#` and spaces in an absolute
    path all mean something in this format. The HTTP port is bound to 127.0.0.1 and wants the password.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest()  # the only hash that supervisor knows
    sections = [
        "[supervisord]\nlogfile=logs/supervisord.log\nlogfile_maxbytes=1MB\nlogfile_backups=1\nloglevel=info\n"
        "pidfile=supervisord.pid\n",
        f"[inet_http_server]\nport=127.0.0.1:{port}\nusername={USER}\npassword={{SHA}}{digest}\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    sections += [
        f"[program:{name}]\ncommand=/bin/sh run/{name}.sh\nautorestart=true\n"
        f"startsecs={_AT_ONCE.get(name, START_SECONDS)}\nstartretries={START_RETRIES}\n"
        f"stopwaitsecs={STOP_SECONDS}\nstopasgroup=true\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile=logs/{name}.log\nstdout_logfile_maxbytes=5MB\n"
        "stdout_logfile_backups=1\n"
        for name in programs
    ]
    return "\n".join(sections)


def script(argv: Iterable[str], environment: Mapping[str, str], *, before: str = "") -> str:
    """A shell script that becomes the program: quoting that is understood, and one process, not two."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return "\n".join(["#!/bin/sh", *exports, *([before] if before else []), "exec " + shlex.join(argv), ""])


class _Transport(xmlrpc.client.Transport):
    """HTTP with a time limit; the standard one waits for ever."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = self._timeout
        return connection


class Supervisor:
    """Client of one engine's supervisord. Methods raise ``EngineError`` when it does not answer.

    Parameters
    ----------
    directory
        The engine's directory; supervisord runs there.
    """

    def __init__(self, directory: Path, port: int, password: str) -> None:
        self._directory = directory
        self._url = f"http://{USER}:{password}@127.0.0.1:{port}/RPC2"

    def alive(self) -> bool:
        """Whether our supervisord answers (another one, or another server on that port, would refuse the password)."""
        try:
            return self._call("getState")["statecode"] in (0, 1)
        except EngineError:
            return False

    def start(self, timeout: float = 15.0) -> None:
        """Start supervisord as a daemon of its own session, and wait until it answers."""
        arguments = [sys.executable, "-m", "supervisor.supervisord", "-c", CONFIG]
        deadline = time.monotonic() + timeout
        started = False
        with (self._directory / "logs" / "start.log").open("wb") as log, suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                arguments,
                cwd=self._directory,
                env={**os.environ, MARK: str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for the command alone
                timeout=timeout,
                check=False,
            )
            started = done.returncode == 0
        while started and time.monotonic() < deadline:
            if self.alive():
                return
            time.sleep(0.02)
        raise EngineError(
            "the process manager (supervisord) does not start:\n" + tail(self._directory, "start"),
            where=str(self._directory),
        )

    def processes(self) -> dict[str, dict[str, Any]]:
        """What supervisord says of each program: `statename`, `pid`, `start`, `spawnerr` ..."""
        return {entry["name"]: entry for entry in self._call("getAllProcessInfo")}

    def reload(self) -> None:
        """Take up programs that the configuration has gained, and start them."""
        for name in self._call("reloadConfig")[0][0]:
            self._call("addProcessGroup", name, ignore=("ALREADY_ADDED",))

    def revive(self, name: str) -> None:
        """Start a program that is not running, at once; one that runs is left alone."""
        present = self.processes()[name]["statename"]
        if present == "BACKOFF":  # it would be tried again by itself, but some time later
            self._call("stopProcess", name, True, ignore=("NOT_RUNNING",))
        if present in ("BACKOFF", "FATAL", "EXITED", "STOPPED"):
            self._call("startProcess", name, False, ignore=("ALREADY_STARTED",))

    def remove(self, name: str) -> None:
        """Ask a program to end, wait until it has, and forget it."""
        self._call("stopProcess", name, True, ignore=("NOT_RUNNING", "BAD_NAME"), timeout=STOP_SECONDS + 10.0)
        self._call("removeProcessGroup", name, ignore=("BAD_NAME",))
        self._call("reloadConfig")

    def shutdown(self) -> None:
        """Ask everything to end, supervisord last; do not wait."""
        self._call("stopAllProcesses", False)
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any, ignore: tuple[str, ...] = (), timeout: float = 10.0) -> Any:
        proxy = xmlrpc.client.ServerProxy(self._url, transport=_Transport(timeout))
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if any(name in fault.faultString for name in ignore):
                return None
            raise EngineError(
                f"the process manager refused {method}: {fault.faultString}", where=str(self._directory)
            ) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            # No cause: the exception of xmlrpc carries the URL, and with it the password.
            raise EngineError(
                f"the process manager does not answer ({type(error).__name__})",
                where=str(self._directory),
                hint="`mlship status` shows what still runs; `mlship down` ends it",
            ) from None


def render(directory: Path, port: int, password: str, programs: Iterable[str]) -> None:
    """Write supervisord.conf into an engine's directory."""
    write(directory / CONFIG, config(port, password, programs))


def tail(directory: Path, program: str, lines: int = 12) -> str:
    """The last lines that a program has logged, indented; empty when it logged nothing."""
    try:
        text = (directory / "logs" / f"{program}.log").read_bytes()[-16_384:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:] if line.strip())
