"""The client of the agent in the router's container: one exec stays open, so that each look and each move is cheap.

An exec costs some 100 ms, a line over one that is open less than one. It works alike on the engine here and on one far
away, for it goes through the engine's API; nothing but the endpoint's own port is published.
"""

from __future__ import annotations

import http.client
import json
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlship.engines.counters import Admin
from mlship.engines.docker.containers import CONFIG, LEASE_FOLDER
from mlship.errors import EngineError
from mlship.guardian import asking
from mlship.guardian.lease import Refused
from mlship.images.daemon import faults

if TYPE_CHECKING:
    from docker import DockerClient

#: Where the agent is in the router's container.
AGENT = f"{CONFIG}/agent.py"
#: Seconds that an answer of the agent may take.
PATIENCE = 15.0
_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1


class NoRouter(EngineError):
    """The router's container does not run, or its agent does not answer."""


class Moved(Exception):
    """The routes are not what they were when they were read."""


class Hands:
    """Talks to the agent; opens the exec again when it has gone (the router was restarted)."""

    def __init__(self, client: DockerClient, model: str) -> None:
        self._client = client
        self._model = model
        self._container = ""
        self._stream: Any = None
        self._lock = threading.Lock()

    @property
    def connected(self) -> bool:
        """Whether the agent has answered before, and nobody has hung up."""
        return self._stream is not None

    def use(self, container: str) -> None:
        """Talk to this container from now on."""
        if container != self._container:
            self.close()
            self._container = container

    def get(self, host: str, port: int, *paths: str, timeout: float = 5.0) -> list[bytes]:
        """Bodies of some GET requests over one connection.

        Raises ``OSError`` or ``HTTPException`` when there is no good answer, ``NoRouter`` when there is no agent.
        """
        (found,) = self.get_all([(host, port, paths)], timeout, asking.ROUTER)
        if isinstance(found, str):
            raise ConnectionRefusedError(found) if found == "ConnectionRefusedError" else OSError(found)
        for path, (status, _) in zip(paths, found, strict=True):
            if status >= 400:
                raise http.client.HTTPException(f"{path} answered {status}")
        return [body.encode("latin-1") for _, body in found]

    def get_all(self, calls: list[tuple[str, int, tuple[str, ...]]], timeout: float, most: int) -> list[Any]:
        """For each call its (status, body) pairs, or why there are none; the calls are made side by side.

        Parameters
        ----------
        timeout, most
            Seconds and bytes that a call may take.
        """
        return self._ask({"get": [[host, port, list(paths), timeout] for host, port, paths in calls], "most": most})

    def put(self, files: dict[str, str]) -> None:
        """Replace files, each by a rename, in this order."""
        self._ask({"put": list(files.items())})

    def route(
        self, files: dict[str, str], owner: str, *, emptied: str = "", when: str = "", was: str | None = ""
    ) -> None:
        """Replace files of routes in this order, under the lock of the lease; raises ``Refused`` and ``Moved``.

        Parameters
        ----------
        was
            What the route file must be before; empty: anything.
        emptied, when
            A file to empty, `first` or `last`; for neither nothing is.

        An agent of an earlier version knows neither lease nor guardian, and just writes them.
        """
        request: dict[str, Any] = {"put": list(files.items()), "lease": LEASE_FOLDER, "routes": CONFIG, "owner": owner}
        if when:
            request["empty"] = [emptied, when]
        if was != "":
            request["was"] = was
        if found := self._ask(request):
            raise Moved if found[0] == "moved" else Refused(found[0])

    def lease(self, what: str, *arguments: Any) -> Any:
        """What `hold`, `release`, `look` or `guarded` of `mlship.guardian.lease` returns there; raises ``Refused``."""
        found = self._ask({"lease": [what, LEASE_FOLDER, *arguments]})
        if not found:
            raise EngineError(
                "it was deployed by an earlier version of mlship, which knows no lease",
                where=self._model,
                hint="`mlship rollout POLICY` deploys it again, which changes nothing for callers",
            )
        if found[1] is not None:
            raise Refused(found[1])
        return found[0]

    def read(self, path: str) -> str | None:
        """A file's text; None when there is none."""
        (text,) = self._ask({"read": path})
        return None if text is None else str(text)

    def tail(self, path: str, offset: int, most: int) -> tuple[bytes, int]:
        """At most so many bytes of a file from an offset on, and its size."""
        text, size = self._ask({"tail": [path, offset, most]}) or ("", 0)  # an older agent knows no tails
        return str(text).encode("latin-1"), int(size)

    def close(self) -> None:
        """Hang up; the agent ends by itself."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):
                _raw(stream).close()
            with suppress(OSError):
                stream.close()

    def _ask(self, request: dict[str, Any]) -> list[Any]:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            for last in (False, True):
                fresh = self._stream is None
                if fresh:
                    self._open()
                try:
                    _raw(self._stream).sendall(line)
                    answer: dict[str, list[Any]] = json.loads(self._line())
                    break
                except (OSError, ValueError, EOFError) as error:
                    self.close()
                    if fresh or last:
                        raise NoRouter(
                            f"the router's agent does not answer ({type(error).__name__}: {error})",
                            where=self._model,
                            hint="`docker logs` of the router's container tells more",
                        ) from error
        if "error" in answer:
            raise EngineError(f"the router's agent failed: {answer['error'][0]}", where=self._model)
        return answer["ok"]

    def _open(self) -> None:
        from docker.errors import APIError, NotFound

        api = self._client.api
        with faults("look into the router", model=self._model):
            try:
                made = api.exec_create(self._container, ["python3", "-I", "-S", AGENT], stdin=True)
                self._stream = api.exec_start(made["Id"], socket=True)
            except NotFound:
                raise NoRouter("the router's container has gone", where=self._model) from None
            except APIError as error:
                if error.status_code != 409:  # it does not run, is restarting, or paused
                    raise
                raise NoRouter(f"the router does not run: {error.explanation}", where=self._model) from None
        _raw(self._stream).settimeout(PATIENCE)

    def _line(self) -> bytes:
        """The next line that the agent prints; what it complains of is raised."""
        said = bytearray()
        while not said.endswith(b"\n"):
            kind, size = _HEADER.unpack(self._exactly(_HEADER.size))
            piece = self._exactly(size)
            if kind != _STDOUT:
                raise EOFError(piece.decode(errors="replace").strip().rpartition("\n")[2])
            said += piece
        return bytes(said)

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = _raw(self._stream).recv(size - len(found))
            if not piece:
                raise EOFError("it has gone")
            found += piece
        return bytes(found)


class RouterAdmin(Admin):
    """Envoy's admin port, asked inside the container."""

    def __init__(self, hands: Hands, port: int) -> None:
        super().__init__(port)
        self._hands = hands

    def get(self, *paths: str) -> list[bytes]:
        """Bodies of some GET requests over one connection."""
        return self._hands.get("127.0.0.1", self._port, *paths)


def _raw(stream: Any) -> Any:
    """What can send and receive: the SDK wraps a plain socket, and gives TLS's and SSH's as they are."""
    return getattr(stream, "_sock", stream)
