"""Hostile and honest models before the scan: what would run is named and never runs; what libraries write passes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlship.errors import ModelRefused
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.registry.files import digest_of
from mlship.scan.findings import Findings, Kind
from mlship.scan.scan import advice, require, scan, scanned
from mlship.types import ModelVersion

SKLEARN = "flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}}"
CODE = SecurityGate(allow_code=True)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> Any:
        return self.called


def model(directory: Path, files: dict[str, bytes], mlmodel: str = SKLEARN) -> Path:
    directory.mkdir()
    (directory / "MLmodel").write_text(mlmodel)
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def told(findings: Findings) -> set[tuple[str, str]]:
    return {(one.file, one.what) for one in findings.found}


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def objects(content: bytes) -> bytes:
    """A numpy file of one object array, which is a pickle."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return buffer.getvalue() + content


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def stream(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def attacks(command: str) -> dict[str, tuple[dict[str, bytes], str, str]]:
    """Name -> (files, the file and the type that must be named). Each runs the command when it is unpickled."""
    system = pickle.dumps(Call(os.system, command))
    run = text(command) + b"\x85R"
    old = f"cos\nsystem\n(S'{command}'\ntR.".encode()
    # Memo slot 0 holds 'posix'; a reader of neighbouring strings sees 'collections' there.
    swapped = stream(text("posix"), b"\x94", text("collections"), b"0", text("system"), b"\x93", run)
    # The names are put down first and fetched from the memo later, in another order.
    fetched = stream(text("system"), b"\x94", text("posix"), b"\x940", b"0", b"h\x01h\x00\x93", run)
    # After the first pickle a second, whose memo begins at zero again.
    second = pickle.dumps(["collections", "OrderedDict"]) + stream(
        text("posix"), b"\x94", text("system"), b"\x940", b"0", b"h\x00h\x01\x93", run
    )
    doubled = stream(text("posix"), text("system"), b"2", b"0", b"\x93", run)
    evaluated = pickle.dumps(Call(eval, f"__import__('os').system({command!r})"))
    found = text("posixpath") + text("os") + b"\x93"
    by_name = stream(text("builtins"), text("getattr"), b"\x93", found, text("system"), b"\x86R", run)
    reaching = stream(text("joblib.parallel"), text("os.system"), b"\x93", run)
    ufunc = stream(text("numpy.core"), text("_ufunc_reconstruct"), b"\x93", text("os"), text("system"), b"\x86R", run)
    distribution = pickle.dumps({"a": 1})[:-1] + b"0" + stream(
        text("scipy.stats._continuous_distns"), text("norm_gen"), b"\x93", b")\x81", b"}", text("_parse_arg_template"),
        text(f"import os; os.system({command!r})"), b"sb",
    )[2:]  # fmt: skip
    twice = zipped(("data.pkl", system), ("data.pkl", pickle.dumps({})))
    return {
        "os.system": ({"model.pkl": system}, "model.pkl", "posix.system"),
        "eval": ({"model.pkl": evaluated}, "model.pkl", "builtins.eval"),
        "getattr": ({"model.pkl": by_name}, "model.pkl", "builtins.getattr"),
        "protocol 0": ({"model.pkl": old}, "model.pkl", "os.system"),
        "another extension": ({"notes.txt": old}, "notes.txt", "os.system"),
        "breaks off after the call": ({"model.pkl": system[:-1] + b"\xff"}, "model.pkl", "posix.system"),
        "neighbouring strings": ({"model.pkl": swapped}, "model.pkl", "posix.system"),
        "from the memo": ({"model.pkl": fetched}, "model.pkl", "posix.system"),
        "a second pickle": ({"model.pkl": second}, "model.pkl", "posix.system"),
        "duplicated strings": ({"model.pkl": doubled}, "model.pkl", "posix.system"),
        "through a trusted module": ({"model.pkl": reaching}, "model.pkl", "joblib.parallel.os.system"),
        "numpy looks it up": ({"model.pkl": ufunc}, "model.pkl", "numpy.core._ufunc_reconstruct"),
        "state that is run": ({"model.pkl": distribution}, "model.pkl", "scipy.stats._continuous_distns.norm_gen"),
        "an object array": ({"weights.npy": objects(system)}, "weights.npy", "posix.system"),
        "in a zip": ({"model.pt": zipped(("data.pkl", system))}, "model.pt!data.pkl", "posix.system"),
        "in an npz": ({"w.npz": zipped(("a.npy", objects(system)))}, "w.npz!a.npy", "posix.system"),
        "hidden by a twin": ({"model.pt": twice}, "model.pt!data.pkl", "posix.system"),
        "in a zip in a zip": (
            {"a.bin": zipped(("b", zipped(("c", system))))},
            "a.bin!b!c",
            "posix.system",
        ),
        "a pickle before a zip": ({"model.skops": system + twice}, "model.skops", "posix.system"),
        "gzip": ({"model.joblib": gzip.compress(system)}, "model.joblib!", "posix.system"),
        "zlib": ({"model.joblib": zlib.compress(system)}, "model.joblib!", "posix.system"),
        "bz2": ({"model.joblib": bz2.compress(system)}, "model.joblib!", "posix.system"),
        "xz": ({"model.joblib": lzma.compress(system)}, "model.joblib!", "posix.system"),
        "deep in a directory": ({"artifacts/a/b/c": system}, "artifacts/a/b/c", "posix.system"),
    }


@pytest.mark.parametrize("name", attacks(""))
def test_what_would_run_is_named_and_does_not_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"
    files, file, what = attacks(f"touch {marker}")[name]
    findings = scan(model(tmp_path / "m", files), SecurityGate())
    assert (file, what) in told(findings)
    assert not findings.safe
    assert not scan(tmp_path / "m", CODE).safe, "trusting code is not trusting this"
    assert not marker.exists()
    assert what in findings.told or len(findings.found) > 3


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "eval", "getattr", "protocol 0", "neighbouring strings", "from the memo", "numpy looks it up",
        "breaks off after the call", "state that is run",
    ],
)  # fmt: skip
def test_the_attacks_are_attacks(tmp_path: Path, name: str) -> None:
    """Otherwise the test above would prove nothing: unpickled, they do run."""
    import contextlib
    import warnings

    (content,) = attacks(f"touch {tmp_path / 'ran'}")[name][0].values()
    with contextlib.suppress(pickle.UnpicklingError, TypeError, KeyError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pickle.loads(content)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 50, "a 7z archive"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 50, "packed with zstd"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "a tar archive"),
        (b"\x1f\x8b" + b"\x08" + b"\0" * 50, "cannot be unpacked"),
        (pickle.dumps([1, 2, 3]) + b"\xff\xff", "breaks off"),
        (stream(text("os"), b"]\x93"), "computed"),
        (stream(text("collections"), text("OrderedDict"), b"\x93", b"}b", b"N"), "changes collections.OrderedDict"),
        (stream(text("collections"), text("OrderedDict"), b"\x93", b")R)R"), "calls what it has computed"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': nope} ", "numpy header is damaged"),
        (objects(b""), "its objects are missing"),
        (zipped(("a", b"x" * 1000))[:60] + zipped(("a", b"y"))[-60:], "archive is damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_through_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    findings = scan(model(tmp_path / "m", {"model.bin": content}), CODE)
    assert [one.kind for one in findings.found] == [Kind.UNREADABLE]
    assert why in findings.told


def test_links_are_not_followed(tmp_path: Path) -> None:
    directory = model(tmp_path / "m", {})
    (directory / "model.pkl").symlink_to("/etc/hostname")
    (directory / "more").symlink_to(tmp_path)
    assert told(scan(directory, CODE)) == {
        ("model.pkl", "it is a link or a special file"),
        ("more", "it is a link"),
    }


def test_the_policy_trusts_by_name_and_never_danger_by_wildcard(tmp_path: Path) -> None:
    own = stream(text("acme.models"), text("Forest"), b"\x93", b")\x81")
    harmful = pickle.dumps(Call(os.system, "true"))
    directory = model(tmp_path / "m", {"model.pkl": own})
    refused = scan(directory, SecurityGate())
    assert [(one.kind, one.what) for one in refused.found] == [(Kind.UNKNOWN, "acme.models.Forest")]
    for allowed in ("acme.models.Forest", "acme.*", "acme.models.*"):
        assert scan(directory, SecurityGate(allow_types=(allowed,))).safe, allowed
    for other in ("acme.models", "ac.*", "acme.models.Forests", "*", "acme.models.Forest.*"):
        assert not scan(directory, SecurityGate(allow_types=(other,))).safe, other
    (directory / "model.pkl").write_bytes(harmful)
    assert not scan(directory, SecurityGate(allow_types=("posix.*",))).safe
    assert scan(directory, SecurityGate(allow_types=("posix.system",))).safe, "named exactly, it is the team's word"


@pytest.mark.parametrize(
    ("mlmodel", "what"),
    [
        ("flavors: {python_function: {loader_module: loader, code: code}}", "the module loader, which loads it"),
        (
            "flavors: {python_function: {loader_module: mlflow.sklearn, code: code}}",
            "code, for the flavor python_function",
        ),
        (
            "flavors: {python_function: {loader_module: mlflow.pyfunc.model, model_code_path: agent.py}}",
            "agent.py, for the flavor python_function",
        ),
    ],
)
def test_code_that_comes_with_the_model_is_told(tmp_path: Path, mlmodel: str, what: str) -> None:
    directory = model(tmp_path / "m", {"code/loader.py": b"x = 1\n", "agent.py": b"x = 1\n"}, mlmodel)
    findings = scan(directory, SecurityGate())
    assert {one.kind for one in findings.found} == {Kind.CODE}
    assert what in findings.told
    assert scan(directory, CODE).safe


FROM_CODE = "flavors: {{python_function: {{loader_module: mlflow.pyfunc.loaders.code_model, model_code_path: {}}}}}"


def test_a_model_from_code_is_the_file_of_that_name(tmp_path: Path) -> None:
    """MLflow writes down where the file lay when the model was trained, and loads the one of that name from here."""
    for name, path in (("a", "/elsewhere/agent.py"), ("b", "../other/agent.py"), ("c", "agent.py")):
        directory = model(tmp_path / name, {"agent.py": b"x = 1\n"}, FROM_CODE.format(path))
        findings = scan(directory, SecurityGate())
        assert told(findings) == {("MLmodel", "agent.py, for the flavor python_function")}
        assert "allow_code: true" in advice(findings)
        assert scan(directory, CODE).safe


@pytest.mark.parametrize(
    "mlmodel",
    [
        FROM_CODE.format("/elsewhere/none.py"),
        FROM_CODE.format("/elsewhere/link.py"),
        FROM_CODE.format("/elsewhere/deeper.py"),
        FROM_CODE.format("/elsewhere/agent.so"),
        FROM_CODE.format("/elsewhere/.."),
        FROM_CODE.format('""'),
        FROM_CODE.format("/elsewhere/agent.py/"),
        FROM_CODE.format(f"/{'x' * 5000}.py"),
        FROM_CODE.format('"a\\0.py"'),
        FROM_CODE.format("[/elsewhere/agent.py]"),
        FROM_CODE.format("/elsewhere/agent.py, python_model: /elsewhere/agent.py"),
        FROM_CODE.format("/elsewhere/agent.py, config: {model_code_path: /elsewhere/agent.py}"),
        FROM_CODE.format("/elsewhere/compiled.py"),
        "flavors: {python_function: {loader_module: mlflow.sklearn, model_code_path: /elsewhere/agent.py}}",
        "flavors: {other: {loader_module: mlflow.pyfunc.model, model_code_path: /elsewhere/agent.py}}",
    ],
)
def test_code_elsewhere_is_not_let_in_by_its_name(tmp_path: Path, mlmodel: str) -> None:
    """Only that key, where MLflow takes the last part of it, and only a Python file that is really there."""
    files = {"agent.py": b"1", "agent.so": b"1", "sub/deeper.py": b"1", "compiled.py": b"1"}
    directory = model(tmp_path / "m", files, mlmodel)
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__/compiled.cpython-311.pyc").write_bytes(b"1")
    (tmp_path / "link.py").write_bytes(b"1")
    (directory / "link.py").symlink_to(tmp_path / "link.py")
    found = [one for one in scan(directory, CODE).found if one.file == "MLmodel"]
    assert [one.kind for one in found] == [Kind.UNREADABLE]
    assert "its MLmodel file may lead only to files that were logged with it" in advice(scan(directory, CODE))


def test_what_mlflow_wraps_around_a_model_asks_for_no_trust_of_its_own(tmp_path: Path) -> None:
    from mlflow.models.signature import _TypeHints

    hints: Any = _TypeHints
    directory = model(tmp_path / "m", {"python_model.pkl": pickle.dumps(hints("DataFrame", list))})
    assert scan(directory, SecurityGate()).safe
    (directory / "python_model.pkl").write_bytes(pickle.dumps(hints(Call(os.system, "true"))))
    assert told(scan(directory, SecurityGate())) == {("python_model.pkl", "posix.system")}
    (directory / "python_model.pkl").write_bytes(b"cmlflow.models.signature\n_extract_type_hints\n.")
    assert [one.kind for one in scan(directory, SecurityGate()).found] == [Kind.UNKNOWN]


@pytest.mark.parametrize("mlmodel", ["", "[1", "flavors: 7", "\x00"])
def test_an_mlmodel_file_that_says_nothing_is_refused(tmp_path: Path, mlmodel: str) -> None:
    findings = scan(model(tmp_path / "m", {}, mlmodel), CODE)
    assert [(one.file, one.kind) for one in findings.found] == [("MLmodel", Kind.UNREADABLE)]


def test_code_by_value_is_code(tmp_path: Path) -> None:
    import cloudpickle  # type: ignore[import-untyped]  # it ships no types

    directory = model(tmp_path / "m", {"model.pkl": cloudpickle.dumps(lambda rows: rows)})
    findings = scan(directory, SecurityGate())
    assert {one.kind for one in findings.found} == {Kind.CODE}
    assert scan(directory, CODE).safe


def test_a_lambda_layer_of_keras_is_code(tmp_path: Path) -> None:
    config = b'{"config": {"layers": [{"class_name": "Lambda", "config": {}}]}}'
    directory = model(tmp_path / "m", {"data/model.keras": zipped(("config.json", config))})
    assert told(scan(directory, SecurityGate())) == {("data/model.keras!config.json", "a Keras Lambda layer")}
    assert scan(directory, CODE).safe


def test_lists_of_requirements_are_no_pickles(tmp_path: Path) -> None:
    """Though 'cloudpickle' and a line more read as an instruction to look something up."""
    files = {
        "requirements.txt": b"cloudpickle\nnumpy\nscikit-learn==1.9.0\n",
        "conda.yaml": b"channels:\n- conda-forge\n",
        "input_example.json": b'{"columns": ["a"]}',
        "README.md": b"(important)\n",
        "weights.bin": np.arange(50.0).tobytes(),
    }
    assert scan(model(tmp_path / "m", files), SecurityGate()).safe


@pytest.fixture(scope="module")
def rows() -> tuple[Any, Any]:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.random(80) + 0.1, "b": rng.random(80), "c": rng.random(80), "d": rng.random(80)})
    return frame, (frame["a"] + rng.random(80) > 1).astype(int)


@pytest.fixture(scope="module")
def fitted(rows: tuple[Any, Any]) -> dict[str, Any]:
    """All estimators that can be fitted without being told more."""
    import warnings

    from sklearn.utils import all_estimators

    found: dict[str, Any] = {}
    for name, estimator in all_estimators():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = estimator().fit(*rows)
        except Exception:  # noqa: BLE001 - some need more than a table of numbers; most do not
            continue
    return found


def dump(kind: str, value: Any) -> bytes:
    import cloudpickle

    if kind == "joblib":
        import joblib

        buffer = io.BytesIO()
        joblib.dump(value, buffer)
        return buffer.getvalue()
    return bytes(cloudpickle.dumps(value)) if kind == "cloudpickle" else pickle.dumps(value, int(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cloudpickle", "2", "joblib"])
def test_every_estimator_of_scikit_learn_passes(tmp_path: Path, fitted: dict[str, Any], kind: str) -> None:
    """In each format."""
    assert len(fitted) > 130
    directory = model(tmp_path / "m", {f"{name}.pkl": dump(kind, value) for name, value in fitted.items()})
    findings = scan(directory, CODE if kind == "joblib" else SecurityGate())
    known = {"builtins.getattr"} if kind == "2" else set()  # protocol 2 writes bound methods so
    assert {one.what for one in findings.found} <= known
    assert findings.types > 200


@pytest.mark.slow
def test_a_joblib_file_is_for_code_to_read_and_hides_nothing(tmp_path: Path, rows: tuple[Any, Any]) -> None:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(5).fit(*rows)
    content = dump("joblib", {"m": forest, "n": np.array(["x", None], dtype=object), "last": Call(os.system, "true")})
    directory = model(tmp_path / "m", {"m.joblib": content})
    assert told(scan(directory, CODE)) == {("m.joblib", "posix.system")}
    (directory / "m.joblib").write_bytes(dump("joblib", [np.array([Call(os.system, "true")], dtype=object)]))
    assert ("m.joblib", "posix.system") in told(scan(directory, CODE)), "in an array of objects"


def test_an_array_of_joblib_cannot_swallow_what_pickle_would_run(tmp_path: Path) -> None:
    """To joblib these bytes are numbers, to pickle they are a call: such a file is not loaded without trust in code."""
    content = dump("joblib", np.arange(8.0))
    evil = content[: content.rindex(b"b") + 1] + pickle.dumps(Call(os.system, "true"))
    directory = model(tmp_path / "m", {"model.pkl": evil})
    assert not scan(directory, SecurityGate()).safe


@pytest.mark.slow
def test_types_of_skops_are_judged_by_the_policy_not_by_the_model(tmp_path: Path, rows: tuple[Any, Any]) -> None:
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.preprocessing import FunctionTransformer

    honest = skops.io.dumps(HistGradientBoostingClassifier(max_iter=2).fit(*rows))
    assert skops.io.get_untrusted_types(data=honest), "skops asks about its trees; they are scikit-learn's own"
    listed = SKLEARN.replace("model.pkl}", "model.skops}, sklearn: {skops_trusted_types: [subprocess.check_output]}")
    directory = model(tmp_path / "m", {"model.skops": honest}, listed)
    assert scan(directory, SecurityGate()).safe
    harmful = skops.io.dumps(FunctionTransformer(__import__("subprocess").check_output))
    (directory / "model.skops").write_bytes(harmful)
    findings = scan(directory, SecurityGate())
    assert [(one.kind, one.what) for one in findings.found] == [(Kind.DANGEROUS, "subprocess.check_output")]
    (directory / "model.skops").write_bytes(zipped(("schema.json", b'{"__class__": "x"}')))
    assert "skops cannot read it" in scan(directory, SecurityGate()).told


def test_a_scan_is_kept_by_what_it_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlship.scan.scan as module

    home = Home(tmp_path / ".mlship")
    directory = model(tmp_path / "m", {"model.pkl": pickle.dumps(Call(os.system, "true"))})
    version = ModelVersion("m", "1", digest_of(directory), directory)
    with pytest.raises(ModelRefused, match=r"model.pkl needs posix.system, which can run anything") as caught:
        require(version, SecurityGate(), home)
    assert caught.value.where == "m version 1"
    made: list[Any] = []
    fresh: Callable[..., Findings] = module.scan

    def counted(*given: Any) -> Findings:
        made.append(given)
        return fresh(*given)

    monkeypatch.setattr(module, "scan", counted)
    assert not scanned(version, SecurityGate(), home).safe
    assert made == []
    assert scanned(version, SecurityGate(allow_types=("posix.system",)), home).safe
    assert len(made) == 1
    require(version, SecurityGate(scan=False), home)
    for path in (home.cache / "scans").iterdir():
        path.write_text("{")
    assert not scanned(version, SecurityGate(), home).safe, "a damaged result is not believed"
    (directory / "model.pkl").write_bytes(b"")
    with pytest.raises(ModelRefused, match="its files have changed"):
        scanned(version, SecurityGate(), home)


def test_numbers_that_look_like_instructions_reach_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    files = {f"{i}.bin": b"\x00" + rng.bytes(300) for i in range(50)}
    files |= {"ubj": b"{L\x00" + rng.bytes(300), "onnx": struct.pack("<I", 8) + rng.bytes(300)}
    findings = scan(model(tmp_path / "m", files), SecurityGate())
    assert findings.safe


BAD = b"cposix\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize(
    "first",
    [b"I0x1\n0", b"I1\0x\n0", b"I0o7\n0", b"L0x1L\n0", b"L0b1\n0", b"F1.0\0x\n0", b"\x80\x05C\x00\x980"],
    ids=repr,
)
@pytest.mark.parametrize("name", ["model.pkl", "model.txt", "model"])
def test_what_only_cpython_can_read_hides_nothing(tmp_path: Path, first: bytes, name: str) -> None:
    findings = scan(model(tmp_path / "m", {name: first + BAD}), SecurityGate())
    assert (name, "posix.system") in told(findings)


def test_a_stream_too_long_to_follow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlship.scan.machine.MOST_STEPS", 100)
    assert not scan(model(tmp_path / "m", {"model.pkl": b"N0" * 60 + BAD}), SecurityGate()).safe


def test_a_line_without_end_is_not_read_whole(tmp_path: Path) -> None:
    packed = gzip.compress(b"S'" + b"a" * (8 << 20) + b"'\n." + BAD)
    scan(model(tmp_path / "m", {"model.pkl": packed}), SecurityGate())


def test_a_pickle_that_only_names_things_is_no_text(tmp_path: Path) -> None:
    findings = scan(model(tmp_path / "m", {"model": b"csubprocess\nPopen\n."}), SecurityGate())
    assert ("model", "subprocess.Popen") in told(findings)


@pytest.mark.parametrize("path", ["../other/model.pkl", "/tmp/model.pkl", "a/../../b"])
@pytest.mark.parametrize("key", ["model_path", "data", "python_model"])
def test_a_path_out_of_the_model_is_refused(tmp_path: Path, key: str, path: str) -> None:
    mlmodel = f"flavors: {{python_function: {{loader_module: mlflow.sklearn, {key}: {path}}}}}"
    assert scan(model(tmp_path / "m", {}, mlmodel), SecurityGate()).found[0].kind is Kind.UNREADABLE


def test_an_mlmodel_file_that_lies_deeper_is_read(tmp_path: Path) -> None:
    inner = b"flavors: {python_function: {loader_module: mlflow.pyfunc.model, model_code_path: c.py}}"
    outer = "flavors: {python_function: {loader_module: mlflow.pyfunc.loaders.code_model, data: sub}}"
    findings = scan(model(tmp_path / "m", {"sub/MLmodel": inner, "sub/c.py": b"1"}, outer), SecurityGate())
    assert told(findings) == {("sub/MLmodel", "c.py, for the flavor python_function")}


def test_a_method_that_no_estimator_has_is_told(tmp_path: Path) -> None:
    mlmodel = "flavors: {python_function: {loader_module: mlflow.sklearn, predict_fn: unlink}}"
    assert ("MLmodel", "the method unlink") in told(scan(model(tmp_path / "m", {}, mlmodel), SecurityGate()))


def test_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    mlmodel = "\n".join([*lines, "flavors: {python_function: {loader_module: *a11, code: *a11, predict_fn: *a11}}"])
    assert not scan(model(tmp_path / "m", {}, mlmodel), SecurityGate()).safe


def test_foreign_memory_is_no_array(tmp_path: Path) -> None:
    from types import SimpleNamespace

    memory = {"data": (1 << 20, False), "shape": (8,), "typestr": "|u1", "version": 3}
    content = pickle.dumps(SimpleNamespace(__array_interface__=memory))
    findings = scan(model(tmp_path / "m", {"model.pkl": content}), SecurityGate())
    assert ("model.pkl", "it uses __array_interface__") in told(findings)


@pytest.mark.parametrize("function", [np.add, np.float64, int, str])
def test_what_models_only_name_is_not_called(tmp_path: Path, function: Any) -> None:
    findings = scan(model(tmp_path / "m", {"model.pkl": pickle.dumps(Call(function, 1))}), SecurityGate())
    assert any("which models only name" in what for _file, what in told(findings))


def stacked(names: Any) -> Any:
    from sklearn.ensemble import StackingClassifier

    made = StackingClassifier([])
    made.__dict__.update(estimators_=[np.array([b"x"])], stack_method_=names)
    return made


@pytest.mark.parametrize("names", [["tofile"], ["predict", "dump"], "tofile", np.array(["tofile"]), ["predict"] * 70])
def test_a_stack_calls_methods_of_estimators_only(tmp_path: Path, names: Any) -> None:
    import skops.io

    files = {"model.pkl": pickle.dumps(stacked(names)), "model.skops": skops.io.dumps(stacked(names))}
    for name, content in files.items():
        findings = scan(model(tmp_path / name, {name: content}), SecurityGate())
        if name == "model.pkl" or len(names) < 70:  # skops tells lists of any length
            assert (name, "it names a method that is none of estimators") in told(findings)
    assert scan(model(tmp_path / "m", {"model.pkl": pickle.dumps(stacked(["predict_proba"]))}), SecurityGate()).safe


def test_a_list_that_grows_later_is_looked_at_in_the_end(tmp_path: Path) -> None:
    made = b"csklearn.ensemble._stacking\nStackingClassifier\n)\x81}" + text("stack_method_") + b"]q\x01sb0h\x01"
    content = stream(made, text("tofile"), b"a")
    findings = scan(model(tmp_path / "m", {"model.pkl": content}), SecurityGate())
    assert ("model.pkl", "it names a method that is none of estimators") in told(findings)
