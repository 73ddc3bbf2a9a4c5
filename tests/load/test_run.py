"""What the generator says of real servers, good and bad; the machine may be busy, so limits are wide on one side."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.errors import LoadError
from mlship.load import figures, histogram, run
from mlship.load.plan import Hopeless, Load, Target
from mlship.load.recording import Recording

pytestmark = pytest.mark.slow
Serve = Callable[..., int]
BODY = [b'{"inputs": [[1, 2]]}', b'{"inputs": [[3, 4]]}']


def _target(port: int, **options: str) -> Target:
    return Target(f"http://127.0.0.1:{port}", **{"expects": '"predictions"', **options})  # type: ignore[arg-type]  # texts only


def _load(port: int, n_slices: int = 5, **options: object) -> Recording:
    plan = {"rate": 200, "seconds": 2, "warmup": 0, "settle": 0.1, "arrivals": "constant", **options}
    return run.slices({"it": _target(port)}, Load(**plan), BODY, n_slices)["it"]  # type: ignore[arg-type]  # as above


def _ms(recording: Recording, share: float) -> float:
    found = figures.latency(recording, share)
    assert found is not None
    return found.value * 1e3


def test_a_constant_service_time_is_found(serve: Serve) -> None:
    """20 ms each: every request has its outcome, the median is 20 ms, and connections are kept."""
    found = _load(serve("constant"))
    assert found.n == 400
    assert found.failed == 0
    assert histogram.total(found.latency) == histogram.total(found.lag) == 400
    assert 19.5 < _ms(found, 0.5) < 60
    assert 150 < found.achieved <= 200
    assert 4 <= found.connections < 100
    assert [part.index for part in found.slices] == [0, 1, 2, 3, 4]
    assert sum(part.seconds for part in found.slices) == pytest.approx(2)


def test_one_stall_is_seen_by_all_who_would_have_called(serve: Serve) -> None:
    """One second of standing still in three at 400/s: a closed loop would say 6 ms, the truth is 0.9 s and more."""
    found = _load(serve("stall"), rate=400, seconds=3)
    assert found.failed == 0
    assert 850 < _ms(found, 0.95) < 1500
    assert 900 < _ms(found, 0.99) < 1500
    assert 300 < found.achieved <= 400
    assert found.connections > 300


def test_the_queue_of_a_textbook_is_measured(serve: Serve) -> None:
    """M/D/1, busy 60 % of the time: the mean wait is Pollaczek and Khinchine's, load * service / (2 * (1 - load)).

    Measured up to three times, for a machine that does other things beside it.
    """
    service, port = 0.004, serve("queue")
    ratios = []
    for seed in range(3):
        found = _load(port, arrivals="poisson", rate=150, seconds=10, n_slices=10, seed=seed)
        durations, counts = histogram.cells(found.latency)
        mean = sum(one * count for one, count in zip(durations, counts, strict=True)) / sum(counts)
        busy = found.n / 10 * service  # of the arrivals that came
        ratios.append(mean / (service + busy * service / (2 * (1 - busy))))
        assert _ms(found, 0.5) >= 4
        if 0.85 < ratios[-1] < 1.3:
            return
    pytest.fail(f"mean times are {ratios} of what they should be")


@pytest.mark.parametrize(
    ("behaviour", "kind", "share"),
    [("unavailable", "status 503", 0.09), ("unavailable", "status 422", 0.01), ("cut", "broken", 0.2),
     ("babble", "broken", 1), ("wrong", "content", 1)],
)  # fmt: skip
def test_failures_are_counted_by_kind(serve: Serve, behaviour: str, kind: str, share: float) -> None:
    found = _load(serve(behaviour))
    assert found.errors[kind] == pytest.approx(share * found.n, abs=3)
    assert histogram.total(found.latency) == found.n - found.failed
    rate = figures.errors(found)
    assert rate is not None
    assert rate.value == found.failed / found.n


@pytest.mark.parametrize("behaviour", ["says_close", "just_closes", "until_closed", "chunked", "slow_body", "quick"])
def test_every_way_to_end_an_answer_is_understood(serve: Serve, behaviour: str) -> None:
    """With a length, in chunks, by closing, slowly, and with a connection that is gone without a word."""
    found = _load(serve(behaviour))
    assert found.errors == {}
    assert found.n == 400
    assert _ms(found, 0.5) >= {"slow_body": 50, "chunked": 5}.get(behaviour, 0)


def test_nobody_listens(serve: Serve) -> None:
    """A port that refuses: all requests fail, none has a latency, and the run is over in its time."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    started = time.monotonic()
    found = _load(port)
    assert time.monotonic() - started < 20
    assert found.errors == {"refused": 400}
    assert figures.latency(found, 0.5) is None


def test_a_server_that_dies_in_the_middle(serve: Serve) -> None:
    """What was answered was answered, the rest is refused or broken, and every request has one outcome."""
    found = _load(serve("dies"))
    assert set(found.errors) <= {"refused", "broken"}
    assert found.failed == pytest.approx(400 - 80, abs=25)  # 20 of its 100 went into settling
    assert histogram.total(found.latency) + found.failed == found.n == 400


def test_silence_is_a_time_out_that_counts_as_long_as_it_was_waited_for(serve: Serve) -> None:
    found = _load(serve("silent"), timeout=0.5)
    assert found.errors == {"timeout": pytest.approx(40, abs=1)}
    assert 490 < _ms(found, 0.99) < 900
    assert histogram.total(found.latency) == found.n


def test_connections_are_bounded_and_it_is_said(serve: Serve) -> None:
    """20 ms over 2 connections are 100 answers a second: at 200/s the others wait, from their intended time on."""
    found = _load(serve("constant"), connections=2)
    assert found.waited > 100
    assert found.connections == 2
    assert "waited because all 2 connections were in use" in found.bounded
    assert _ms(found, 0.5) > 200


def test_a_waiting_request_times_out_without_a_connection(serve: Serve) -> None:
    found = _load(serve("mute"), connections=2, timeout=0.3)
    assert found.errors == {"timeout": 400}


def test_candidate_and_champion_take_turns(serve: Serve) -> None:
    """The same moments for both, in alternating order, and the ratio is the servers': 30 ms to 20 ms."""
    told: list[tuple[str, str, int]] = []
    targets = {"candidate": _target(serve("slower")), "champion": _target(serve("constant"))}
    found = run.slices(
        targets,
        Load(100, 2, warmup=0.2, settle=0.1),
        BODY,
        4,
        lambda progress: told.append((progress.phase, progress.target, progress.index)),
    )
    assert [entry for entry in told if entry[0] == "begin"] == [
        ("begin", "candidate", 0), ("begin", "champion", 0), ("begin", "champion", 1), ("begin", "candidate", 1),
        ("begin", "candidate", 2), ("begin", "champion", 2), ("begin", "champion", 3), ("begin", "candidate", 3),
    ]  # fmt: skip
    assert [part.sent for part in found["candidate"].slices] == [part.sent for part in found["champion"].slices]
    ratio = figures.ratio(found["candidate"], found["champion"], 0.5)
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert 1 < ratio.low <= ratio.value <= ratio.high
    assert 1.3 < ratio.value < 1.6


def test_hopeless_load_ends_early(serve: Serve) -> None:
    """More than 10 requests above 10 ms, where each takes 20: a minute of load is over at once."""
    started = time.monotonic()
    found = _load(serve("constant"), seconds=60, hopeless=(Hopeless(0.01, 10),))
    assert time.monotonic() - started < 20
    assert "more than 10 requests failed or took longer than 10 ms" in found.stopped
    assert found.n < 400


def test_tls_is_verified(serve: Serve, tmp_path: Path) -> None:
    """A certificate that the given authority vouches for is taken; one that nobody knows is not."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]  # fmt: skip
    try:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    base = f"https://localhost:{serve('quick', str(tmp_path / 'cert.pem'), str(tmp_path / 'key.pem'))}"
    targets = {"known": Target(base, ca=str(tmp_path / "cert.pem")), "unknown": Target(base)}
    found = run.slices(targets, Load(50, 1, warmup=0, settle=0), BODY, 2)
    assert found["known"].failed == 0
    assert set(found["unknown"].errors) == {"refused"}


def test_bodies_and_headers_arrive(serve: Serve) -> None:
    """An answer that repeats the body holds what was sent, megabytes too."""
    port = serve("echo")
    bodies = [b'{"marker": "here"}' + b" " * 3_000_000, b'{"marker": "here", "more": 1}']
    target = Target(f"http://127.0.0.1:{port}", path="/a/b", headers={"Authorization": "Bearer x"}, expects='"marker"')
    found = run.slices({"it": target}, Load(20, 1, arrivals="constant", warmup=0, settle=0), bodies, 2)["it"]
    assert (found.n, found.errors) == (20, {})


def test_a_host_without_an_address_is_an_error() -> None:
    with pytest.raises(LoadError, match=r"nowhere\.invalid has no address"):
        run.slices({"it": Target("http://nowhere.invalid")}, Load(10, 1), BODY, 2)


def test_an_interrupted_run_leaves_no_process(serve: Serve) -> None:
    """Whatever ends the run ends the generator: here an error in what watches it."""
    plan = Load(50, 60, warmup=0)

    def interrupt(_: run.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.slices({"it": _target(serve("quick"))}, plan, BODY, 2, interrupt)
    assert not _generators()


def test_the_generator_goes_when_nobody_waits_for_it(serve: Serve) -> None:
    """A caller that is killed closes the pipe; the generator does not outlive that by a second."""
    program = (
        "from mlship.load import run; from mlship.load.plan import Load, Target\n"
        f"run.slices({{'it': Target('http://127.0.0.1:{serve('quick')}')}}, Load(50, 60, warmup=0), [b'{{}}'], 2, "
        "lambda progress: print(progress.phase, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"begin\n"
        children = Path(f"/proc/{caller.pid}/task/{caller.pid}/children").read_text().split()
        assert len(children) == 1
        caller.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{children[0]}").exists()


def _generators() -> list[int]:
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    named = [(pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in mine if Path(f"/proc/{pid}").exists()]
    return [int(pid) for pid, command in named if b"mlship.load.generator" in command]


def test_nothing_to_send_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a target"):
        run.slices({}, Load(1, 1), BODY)
    with pytest.raises(ValueError, match="needs a target"):
        run.slices({"it": Target("http://x")}, Load(1, 1), [])
