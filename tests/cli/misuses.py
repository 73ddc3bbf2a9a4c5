"""Ways to call `mlship` that cannot work, as people and scripts really do: exit code, message, and the way out."""

from __future__ import annotations

from dataclasses import dataclass, field

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: rows.csv, target: late}}
gates: {contract: {max_duplicates: 100%}, latency: {rate: 20/s, p99: 1s}}
endpoint: {listen: "127.0.0.1:8080"}
rollout: {engine: docker, steps: [{weight: 20%, bake: {for: 1s, requests: 30}}]}
"""


@dataclass(frozen=True)
class Misuse:
    """One row of the table, run in a directory with `mlship.yaml`, `rows.csv` and a file `a-file`."""

    name: str
    line: str
    """The command line after `mlship`; words are split at spaces, and `''` is an empty one."""
    code: int
    said: tuple[str, ...]
    """Parts of the one message: what, where and the way out."""
    environ: dict[str, str] = field(default_factory=dict)
    formats: bool = True
    """Whether the same is asked for as JSON and as annotations, too."""
    gone: bool = False
    """In a directory that has been deleted."""


TABLE = (
    # Words that are none.
    Misuse("command", "evalute mlship.yaml", 2, ("no such command 'evalute'", "mean 'evaluate'", "mlship --help")),
    Misuse("command below", "policy dif", 2, ("policy: no such command 'dif'", "did you mean 'diff'?")),
    Misuse("no argument", "rollback", 2, ("rollback: missing argument 'MODEL'", "mlship rollback [OPTIONS] MODEL")),
    Misuse(
        "too many", "evaluate a.yaml b.yaml", 2, ("evaluate: unexpected argument", "b.yaml", "mlship evaluate --help")
    ),
    Misuse(
        "option", "plan mlship.yaml --raet 5/s", 2, ("plan: no such option: --raet", "did you mean '--rate'?", "--help")
    ),
    Misuse(
        "option without value",
        "history --limit",
        2,
        ("history: option '--limit' requires", "mlship history --help"),
        formats=False,
    ),
    Misuse("opposites", "status -q -v", 2, ("--quiet and --verbose ask for opposites", "leave one of them out")),
    # Formats and reports.
    Misuse("format", "validate --format yaml", 2, ("'--format': 'yaml' is not one of", "'github'"), formats=False),
    Misuse(
        "two formats",
        "validate --format text --format=json",
        2,
        ("--format was given more than once: text and json", "--report KIND=FILE"),
        formats=False,
    ),
    Misuse("report kind", "validate --report pdf=x.pdf", 2, ("--report pdf=x.pdf: not KIND=FILE", "junit, sarif")),
    Misuse("report nowhere", "validate --report junit=no/x.xml", 2, ("there is no directory no", "mkdir -p no")),
    Misuse(
        "report twice", "validate --report json=x --report junit=x", 2, ("x is named for json already", "another file")
    ),
    Misuse(
        "report unwritable",
        "validate --report json=/proc/x.json",
        3,
        ("/proc/x.json: the report cannot be written", "free space or permissions"),
        formats=False,
    ),
    # Models and policies.
    Misuse(
        "path as model",
        "status ./flight-delay",
        2,
        ("./flight-delay: a path or an address, where the name of a reg", "mlship status"),
    ),
    Misuse("address as model", "why models:/m/3", 2, ("models:/m/3: a path or an address", "`mlship status` lists")),
    Misuse(
        "policy as model",
        "pause mlship.yaml",
        2,
        ("mlship.yaml: a policy, where the name of a registered model", "say `flight-delay`"),
    ),
    Misuse("empty model", "history ''", 2, ("the model's name is empty", "is a variable of the script not set?")),
    Misuse(
        "model as policy",
        "evaluate flight-delay",
        2,
        ("flight-delay: there is no such file", "such as mlship.yaml"),
    ),
    Misuse(
        "policy as plan",
        "ship mlship.yaml --plan mlship.yaml",
        2,
        ("mlship.yaml: the plan is torn: this is no JSON", "mlship plan"),
    ),
    # Values.
    Misuse("empty version", "evaluate mlship.yaml --candidate ''", 2, ("--candidate is empty", "7, @alias or latest")),
    Misuse(
        "never champion", "rollback flight-delay --to 99", 2, ("version 99 never was champion", "mlship ship POLICY")
    ),
    Misuse(
        "negative",
        "history --limit -1",
        2,
        ("history: invalid value for '--limit'", "greater than or equal to 1", "--help"),
    ),
    Misuse(
        "duration", "watch flight-delay --timeout soon", 2, ("--timeout: 'soon' is not a duration", "200ms, 30s, 10m")
    ),
    Misuse("rate", "plan mlship.yaml --rate 50", 2, ("--rate: a rate needs a unit", "did you mean '50/s'")),
    Misuse("time", "why --at yesterday", 2, ("--at yesterday: neither a time nor a duration", "2h for two hours ago")),
    Misuse(
        "gate", "evaluate mlship.yaml --only recall", 2, ("--only: there is no gate 'recall'", "the policy asks for")
    ),
    Misuse(
        "no tty", "drill mlship.yaml", 2, ("flight-delay: a drill touches live traffic, and nobody is there", "--yes")
    ),
    # The world around.
    Misuse(
        "home is a file",
        "status",
        3,
        ("a-file: this is a file, and the state directory is to be", "MLSHIP_HOME"),
        {"MLSHIP_HOME": "a-file"},
    ),
    Misuse(
        "home below a file",
        "history",
        3,
        ("a-file/x: the state directory cannot be reached: Not a directory", "--home"),
        {"MLSHIP_HOME": "a-file/x"},
    ),
    Misuse(
        "home unwritable",
        "evaluate mlship.yaml",
        3,
        ("/proc/mlship/registry: cannot create the state directory", "a writable directory"),
        {"MLSHIP_HOME": "/proc/mlship"},
    ),
    Misuse(
        "directory gone",
        "validate",
        3,
        ("the directory that this runs in has been deleted", "cd to one that is there"),
        gone=True,
    ),
    Misuse(
        "registry uri",
        "evaluate mlship.yaml",
        3,
        ("nonsense://x: this is not an MLflow URI", "write registry.uri as http"),
        {"MLFLOW_TRACKING_URI": "nonsense://x"},
    ),
    Misuse(
        "docker host",
        "doctor mlship.yaml",
        3,
        ("DOCKER_HOST is not understood (nonsense)",),
        {"DOCKER_HOST": "nonsense"},
        formats=False,
    ),
)
