"""Our server and MLflow's own app get the same requests and give the same answers; then what only ours has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.serving.app import App, Identity
from mlship.serving.exposition import Described
from mlship.serving.limits import Limits
from mlship.serving.load import load
from mlship.serving.observing import alone
from mlship.serving.tally import digest
from mlship.stats.buckets import bucket

from .conftest import Reply, call

pytestmark = pytest.mark.slow  # loads real models

IDENTITY = Identity("late", "7", "sha256:abc")
ROW = {"carrier": "AA", "hour": 7, "delay": 33.5, "night": False}
OTHER = {"carrier": "ZZ", "hour": 23, "delay": -4, "night": True}
NAMES = list(ROW)


def made(tolerance: float | None = None, limits: Limits | None = None) -> App:
    return App(IDENTITY, alone(Described("late", "7", "sha256:abc"), tolerance), limits or Limits())


def split(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": NAMES, "data": [[row.get(name) for name in NAMES] for row in rows], **more}}


#: Bodies of JSON that MLflow answers with 200 or refuses; both must be the same here.
JSON_BODIES: dict[str, Any] = {
    "split": split(ROW, OTHER),
    "split with an index": split(ROW, OTHER, index=[5, 9]),
    "split in another order": {"dataframe_split": {"columns": NAMES[::-1], "data": [list(ROW.values())[::-1]]}},
    "records": {"dataframe_records": [ROW, OTHER]},
    "records with more columns": {"dataframe_records": [ROW | {"gate": "A1"}]},
    "instances": {"instances": [ROW, OTHER]},
    "inputs": {"inputs": {name: [ROW[name], OTHER[name]] for name in NAMES}},
    "parameters nobody declared": split(ROW) | {"params": {"x": 1}},
    "null in a double": split(ROW | {"delay": None}),
    "null in a string": split(ROW | {"carrier": None}),
    "a float in a long": split(ROW | {"hour": 7.0}),
    "a number as text": split(ROW | {"delay": "33.5"}),
    "a number too large": split(ROW | {"hour": 2**70}),
    "text in a double": split(ROW | {"delay": "soon"}),
    "a number in a string": split(ROW | {"carrier": 5}),
    "null in a long": split(ROW | {"hour": None}),
    "a missing column": {"dataframe_records": [{"carrier": "AA"}]},
    "rows of different lengths": {"dataframe_split": {"columns": NAMES, "data": [[1]]}},
    "split without data": {"dataframe_split": {"columns": NAMES}},
    "split as a list": {"dataframe_split": [ROW]},
    "records as an object": {"dataframe_records": ROW},
    "no rows": {"dataframe_records": []},
    "a wrong key": {"rows": [ROW]},
    "two keys": split(ROW) | {"inputs": [1]},
    "nothing in it": {},
    "a list": [ROW],
    "a number": 3,
}
RAW_BODIES: dict[str, tuple[str | bytes, str]] = {
    "malformed": ('{"dataframe_split": ', "application/json"),
    "empty": ("", "application/json"),
    "not utf-8": (b'{"a": "\xff"}', "application/json"),
    "csv": ("carrier,hour,delay,night\nAA,7,33.5,False\nUA,8,1.5,True\n", "text/csv"),
    "csv with a charset": ("carrier,hour,delay,night\nAA,7,33.5,False\n", "text/csv; charset=utf-8"),
    "csv that is none": ("carrier\nAA,7,33\n1,2,3,4,5\n", "text/csv"),
    "empty csv": ("", "text/csv"),
    "unknown content type": ("{}", "text/html"),
    "another charset": ("{}", "application/json; charset=latin-1"),
    "an unknown parameter": ("{}", "application/json; version=2"),
}


@pytest.fixture(scope="module")
def ask(classifier: Path) -> Callable[..., tuple[Reply, Reply]]:
    """Sends one request to our app and to MLflow's: -> (ours, theirs)."""
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    scorer, version = load(classifier, lambda _: None)
    theirs = scoring_server.init(mlflow.pyfunc.load_model(str(classifier)))

    def both(path: str, body: Any = b"", *, method: str = "POST", content_type: str = "application/json") -> Any:
        async def scenario() -> tuple[Reply, Reply]:
            ours = made()
            ours.ready(scorer.answer, version)
            headers = {"content-type": content_type}
            return (
                await call(ours, path, body, method=method, headers=headers),
                await call(theirs, path, body, method=method, headers=headers),
            )

        return asyncio.run(scenario())

    return both


def assert_same(ours: Reply, theirs: Reply) -> None:
    assert ours.status == theirs.status
    if ours.headers["content-type"] != "application/json":
        assert theirs.headers["content-type"].split(";")[0] == ours.headers["content-type"]
        assert ours.body == theirs.body
    elif ours.status == 200:
        assert ours.body == theirs.body
    else:
        expected = theirs.json
        expected.pop("stack_trace", None)
        assert ours.json == expected


@pytest.mark.parametrize("name", JSON_BODIES)
def test_json_is_answered_as_mlflow_answers_it(ask: Callable[..., tuple[Reply, Reply]], name: str) -> None:
    assert_same(*ask("/invocations", JSON_BODIES[name]))


@pytest.mark.parametrize("name", RAW_BODIES)
def test_other_bodies_are_answered_as_mlflow_answers_them(ask: Callable[..., tuple[Reply, Reply]], name: str) -> None:
    body, content_type = RAW_BODIES[name]
    assert_same(*ask("/invocations", body, content_type=content_type))


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_health_and_version_are_answered_as_mlflow_answers_them(
    ask: Callable[..., tuple[Reply, Reply]], path: str
) -> None:
    ours, theirs = ask(path, method="GET")
    assert_same(ours, theirs)
    assert ours.status == 200


@pytest.mark.parametrize(("path", "method"), [("/nothing", "GET"), ("/invocations", "GET"), ("/ping", "POST")])
def test_a_wrong_path_or_method_has_mlflows_status(
    ask: Callable[..., tuple[Reply, Reply]], path: str, method: str
) -> None:
    ours, theirs = ask(path, method=method)
    assert ours.status == theirs.status
    assert set(ours.json) == {"error_code", "message"}


def serve(path: Path, scenario: Callable[[App], Awaitable[None]], tolerance: float | None = None) -> None:
    scorer, version = load(path, lambda _: None)

    async def main() -> None:
        app = made(tolerance)
        app.ready(scorer.answer, version)
        await scenario(app)

    asyncio.run(main())


def test_every_invocation_names_the_version_and_the_request_even_when_it_fails(picky: Path) -> None:
    async def scenario(app: App) -> None:
        for x, status in ((1.0, 200), (13.0, 500), ("?", 400)):
            body = {"dataframe_records": [{"x": x, "name": "n"}]}
            reply = await call(
                app, "/invocations", body, headers={"content-type": "application/json", "x-request-id": "r"}
            )
            assert (reply.status, reply.headers["x-mlship-version"], reply.headers["x-request-id"]) == (
                status,
                "7",
                "r",
            )
        made = {(await call(app, "/invocations", "")).headers["x-request-id"] for _ in range(2)}
        assert len(made) == 2
        long = {"content-type": "application/json", "x-request-id": "x" * 300}
        assert len((await call(app, "/invocations", "", headers=long)).headers["x-request-id"]) == 32
        assert (await call(app, "/invocations", "{}", headers={})).status == 415

    serve(picky, scenario)


def test_a_model_that_raises_is_a_500_without_a_traceback_and_one_line_in_the_log(
    picky: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(app: App) -> None:
        for body in ({"dataframe_records": [{"x": 13.0, "name": "n"}]}, {"inputs": {"x": [13.0], "name": ["n"]}}):
            reply = await call(app, "/invocations", body)
            assert reply.status == 500
            assert set(reply.json) == {"error_code", "message"}
            assert "ValueError: thirteen" in reply.json["message"]
            assert b"Traceback" not in reply.body

    serve(picky, scenario)
    assert [record.levelname for record in caplog.records if record.name == "mlship.serving"] == ["ERROR", "ERROR"]


def test_concurrent_requests_are_batched_and_each_gets_its_own_answer(regressor: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd

    expected = mlflow.pyfunc.load_model(str(regressor)).predict(
        pd.DataFrame({"a": [float(n) for n in range(50)], "b": [0.5] * 50})
    )

    async def scenario(app: App) -> None:
        bodies = [{"dataframe_split": {"columns": ["a", "b"], "data": [[n, 0.5]]}} for n in range(50)]
        replies = await asyncio.gather(*(call(app, "/invocations", body) for body in bodies))
        assert [reply.json["predictions"][0] for reply in replies] == pytest.approx(list(expected))
        metrics = (await call(app, "/metrics", method="GET")).body.decode()
        assert 'mlship_requests_total{outcome="ok"} 50.0' in metrics
        assert "mlship_requests_in_flight 0.0" in metrics
        assert 'mlship_model_info{digest="sha256:abc",model="late",policy_digest="",version="7"} 1.0' in metrics

    serve(regressor, scenario)


def test_labels_are_joined_with_answers_and_counted(regressor: Path) -> None:
    async def scenario(app: App) -> None:
        for name, value in (("r1", 1.0), ("r2", 2.0)):
            body = {"dataframe_split": {"columns": ["a", "b"], "data": [[value, 0.0]]}}
            reply = await call(
                app, "/invocations", body, headers={"content-type": "application/json", "x-request-id": name}
            )
            assert reply.json["predictions"] == pytest.approx([2 * value], abs=1e-6)
        await call(app, "/invocations", "bad", headers={"content-type": "application/json", "x-request-id": "bad"})
        labels = [
            {"request_id": "r1", "label": 2.05},
            {"request_id": "r2", "label": [9]},
            {"request_id": "bad", "label": 1},
        ]
        reply = await call(app, "/feedback", labels)
        assert (reply.status, reply.json["accepted"], reply.json["joined"]) == (202, 3, 2)
        assert "every other server" in reply.json["note"], "this one knows nothing of what others have joined"
        again = (await call(app, "/feedback", labels[0])).json
        assert (again["accepted"], again["joined"]) == (1, 0)
        counters = (await call(app, "/counters", method="GET")).json
        assert [sum(second[i] for second in counters["labels"]) for i in (1, 2)] == [2, 1]
        assert (await call(app, "/counters", method="GET")).json["epoch"] == counters["epoch"]
        assert b"mlship_labels_wrong_total 1.0" in (await call(app, "/metrics", method="GET")).body
        for wrong in ("", "3", '{"request_id": 3}'):
            reply = await call(app, "/feedback", wrong)
            assert (reply.status, reply.json["error_code"]) == (400, "BAD_REQUEST")

    serve(regressor, scenario, tolerance=0.1)


def test_counters_tell_predictions_at_once_and_the_latest_by_request_when_asked(regressor: Path) -> None:
    async def scenario(app: App) -> None:
        async def ask(name: str, *values: float) -> None:
            body = {"dataframe_split": {"columns": ["a", "b"], "data": [[value, 0.0] for value in values]}}
            await call(app, "/invocations", body, headers={"content-type": "application/json", "x-request-id": name})

        assert (await call(app, "/counters?answers=100", method="GET")).json["answers"] == {}
        await ask("r1", 2.0)
        await ask("r2", 3.0, -4.0)
        told = (await call(app, "/counters?answers=100", method="GET")).json
        assert told["predictions"] == {
            "classes": {},
            "scores": {str(bucket(value)): 1 for value in (-8.0, 4.0, 6.0)},
        }
        keys = [digest("r1"), digest("r2"), f"{digest('r2')}.1"]
        assert told["answers"] == {key: pytest.approx(value) for key, value in zip(keys, (4, 6, -8), strict=True)}
        assert list((await call(app, "/counters?answers=2", method="GET")).json["answers"]) == keys[1:]
        assert "answers" not in (await call(app, "/counters", method="GET")).json
        for wrong in ("0", "4097", "-1", "x", ""):
            assert (await call(app, f"/counters?answers={wrong}", method="GET")).status == 400
        assert (await call(app, "/counters?other=1", method="GET")).status == 200

    serve(regressor, scenario)


def test_before_the_model_is_ready_everything_that_needs_it_is_503() -> None:
    async def scenario() -> None:
        app = made()
        for path, method in (("/ping", "GET"), ("/health", "GET"), ("/version", "GET"), ("/invocations", "POST")):
            reply = await call(app, path, method=method)
            assert (reply.status, "loading" in reply.json["message"]) == (503, True)
        counters = (await call(app, "/counters", method="GET")).json
        assert (counters["labels"], counters["predictions"]) == ([], {"classes": {}, "scores": {}})
        assert (await call(app, "/metrics", method="GET")).status == 200

    asyncio.run(scenario())


def test_a_draining_server_answers_and_asks_for_the_connection_to_be_closed(regressor: Path) -> None:
    async def scenario(app: App) -> None:
        app.drain()
        body = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 0.5]]}}
        reply = await call(app, "/invocations", body)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert (await call(app, "/ping", method="GET")).status == 503

    serve(regressor, scenario)
