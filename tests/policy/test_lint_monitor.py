"""The monitor's lint: what would never be seen, never be judged or lead to nothing is said, and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlship.policy.faults import Fault
from mlship.policy.lint_performance import METRICS
from mlship.policy.load import check, load_policy
from mlship.policy.monitor import Kind, Monitor
from tests.policy.conftest import VALID, Changed

SECRET = "ghp_hunter2hunter2"
LOG = "log: {path: log.csv, time: at, prediction: late, score: p, key: id, target: label}"
PAYOFF = "gates:\n  value: {payoff: {tp: 1, fp: -1, fn: -1, tn: 0}, min: 0}\n"


@pytest.fixture
def monitored(policy_file: Path) -> Changed:
    """The faults of the valid policy with a monitor section: its text, and a replacement in the rest."""
    (policy_file.parent / "log.csv").write_text("at,late,p,id,label,distance,origin\n2013-07-01,1,0.9,a,1,900,JFK\n")
    (policy_file.parent / "labels.csv").write_text("request_id,label\na,1\n")
    (policy_file.parent / "train.sh").touch(0o755)

    def faults(section: str, old: str = "", new: str = "", environ: dict[str, str] | None = None) -> list[Fault]:
        assert old in VALID
        text = VALID.replace(old, new, 1) if old else VALID
        policy_file.write_text(text + f"monitor:\n  {section}\n")
        return check(policy_file, {"PAGER": "json://h", "TOKEN": SECRET, **(environ or {})})

    return faults


def one(found: list[Fault]) -> tuple[str, str, str, str]:
    """What, hint, severity, and the text at which the only fault points."""
    [fault] = found
    at = fault.source_line[fault.caret :]
    return fault.what, fault.hint, str(fault.severity), at


@pytest.mark.parametrize(
    "section",
    [
        "features: {}",
        f"{LOG}\n  performance: {{recall: {{min: 0.6}}, log_loss: {{max: 0.7}}}}",
        "log: {path: log.csv, time: at, prediction: late, key: id}\n  labels: {path: labels.csv}\n"
        "  performance: {f1: {min: 0.6}}\n  delay: 2d",
        "zone: Europe/Berlin\n  season: [hour, weekday]\n  predictions: {}",
        f"{LOG}\n  slices: {{by: [distance]}}\n  features: {{columns: [distance]}}",
        "features: {}\n  on_breach: [retrain: {command: ./train.sh --fast}]",
        'features: {}\n  on_breach: [retrain: {github: a/b, workflow: t.yml, token: "${TOKEN}"}]',
        'features: {}\n  on_breach: [retrain: {webhook: "${HOOK}"}]',
        'features: {}\n  on_breach: [retrain: {webhook: "https://example.com/train"}]',
        "max_age: 90d\n  on_breach: [pause: {when: [age]}]",
        "predictions: {}\n  on_breach: [pause, rollback: {when: [predictions]}]",
    ],
)
def test_what_can_be_watched_has_no_fault(monitored: Changed, section: str) -> None:
    assert monitored(section, environ={"HOOK": f"https://example.com/{SECRET}?token={SECRET}"}) == []


@pytest.mark.parametrize(
    ("section", "what", "hint", "severity", "at"),
    [
        # The whole of it.
        ("window: 1h", "no limit: everything is shown, and nothing is ever a breach", "features", "warning", "monitor"),
        ("features: {psi: null}", "'features' judges nothing", "features: null", "error", "features"),
        # Time.
        ("zone: Europe/Berln\n  features: {}", "there is no time zone", "'Europe/Berlin'?", "error", "Europe/Berln"),
        ("season: [hour, hour]\n  features: {}", "'hour' stands here twice", "keep one", "error", "hour]"),
        (
            "window: 1d\n  season: [hour]\n  features: {}",
            "a window of 24h has every hour in it",
            "out",
            "error",
            "hour",
        ),
        (
            "window: 7d\n  recovered: 14d\n  season: [weekday]\n  features: {}",
            "7d has every weekday",
            "shorten",
            "error",
            "weekday",
        ),
        ("seasons: [hour]\n  features: {}", "unknown key 'seasons'", "did you mean 'season'?", "error", "seasons"),
        ("season: [month]\n  features: {}", "'month' is not known here", "hour or weekday", "error", "month"),
        ("window: 12h\n  recovered: 6h\n  features: {}", "one quiet window of 12h", "several", "warning", "6h"),
        ("window: 6h\n  max_silence: 1h", "shorter silence is not seen", "6h or more", "warning", "1h"),
        ("delay: 60d\n  max_age: 30d", "complete after 60d: the champion is too old", "shorter", "warning", "30d"),
        # What is read.
        ("log: {time: at}\n  features: {}", "'log' names no rows", "add path or sql", "error", "log"),
        (
            "log: {path: log.csv, time: at, sql: {url: sqlite:///log.csv, query: SELECT 1}}\n  features: {}",
            "'log' names its rows twice, by path and sql",
            "keep one",
            "error",
            "sql",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late, key: id}\n  labels: {}\n  performance: {f1: {min: 0.5}}",
            "'labels' names no rows",
            "add path or sql",
            "error",
            "labels",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late}\n  labels: {path: labels.csv}\n  features: {}",
            "labels find their prediction by a key, and the log has no column for it",
            "such as key: request_id",
            "error",
            "labels",
        ),
        (
            f"{LOG}\n  labels: {{path: labels.csv}}\n  features: {{}}",
            "the label is named twice",
            "keep one of the two",
            "warning",
            "target",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late, target: late}\n  features: {}",
            "'late' is the prediction already",
            "a column of its own",
            "error",
            "late}",
        ),
        (
            "log: {path: log.csv, time: at}\n  predictions: {}",
            "'predictions' needs what the model predicted",
            "add prediction or score",
            "error",
            "predictions",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late, target: label}\n  performance: {roc_auc: {min: 0.6}}",
            "'roc_auc' needs the probability of the positive class",
            "add score",
            "error",
            "roc_auc",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late}\n  estimate: true\n  features: {}",
            "nothing can be estimated",
            "add score",
            "warning",
            "true",
        ),
        (
            "log: {path: log.csv, time: at, prediction: late}\n  performance: {recall: {min: 0.6}}",
            "'performance' is never known: no labels are named",
            "add target to monitor.log, or monitor.labels",
            "warning",
            "performance",
        ),
        (
            "performance: {recall: {min: 0.6}}",
            "labels find nothing: the servers keep no predictions",
            "add `log: {sample: 100%}` to serving",
            "warning",
            "performance",
        ),
        ("labels: {path: labels.csv}\n  features: {}", "labels find nothing", "to serving", "warning", "labels"),
        # Limits of performance.
        (f"{LOG}\n  performance: {{recal: {{min: 0.6}}}}", "'recal' is not a", "'recall'?", "error", "recal"),
        (f"{LOG}\n  performance: {{auc: {{min: 0.6}}}}", "'auc' is not a metric", "'roc_auc'?", "error", "auc"),
        (f"{LOG}\n  performance: {{brier_score: {{max: 1}}}}", "is not a metric", "'brier'?", "error", "brier_score"),
        (f"{LOG}\n  performance: {{zzz: {{max: 1}}}}", "is not a metric", "known here: recall,", "error", "zzz"),
        (f"{LOG}\n  performance: {{recall: {{}}}}", "'recall' has no limit", "add min", "error", "recall"),
        (f"{LOG}\n  performance: {{error: {{}}}}", "'error' has no limit", "add max", "error", "error"),
        (
            f"{LOG}\n  performance: {{recall: {{min: 0.9, max: 0.6}}}}",
            "min 0.9 is more than max 0.6",
            "swap them?",
            "error",
            "0.9",
        ),
        (
            f"{LOG}\n  performance: {{recall: {{min: 60}}}}",
            "'recall' is never 60: it is 0 to 1",
            "did you mean 0.6?",
            "error",
            "60",
        ),
        (
            f"{LOG}\n  performance: {{log_loss: {{max: -1}}}}",
            "'log_loss' is never -1: it is 0 or more",
            "",
            "error",
            "-1",
        ),
        (f"{LOG}\n  performance: {{recall: {{min: 0}}}}", "this limit is always kept", "stricter", "warning", "0}"),
        (f"{LOG}\n  performance: {{recall: {{max: 0.9}}}}", "more is better", "did you mean min?", "warning", "max"),
        (f"{LOG}\n  performance: {{brier: {{min: 0.1}}}}", "less is better", "did you mean max?", "warning", "min"),
        (
            f"{LOG}\n  performance: {{f1: {{min: 0.5}}, mae: {{max: 3}}}}",
            "'mae' is of numbers, and 'f1' of classes",
            "fits the model",
            "error",
            "mae",
        ),
        (
            f"{LOG}\n  performance: {{mae: {{max: 3}}}}",
            "gates.metrics judges a model of classes by 'recall'",
            "fits the model",
            "error",
            "mae",
        ),
        # Value, slices and features.
        (f"{LOG}\n  value: {{min: 0}}", "'value' needs gates.value.payoff", "value: {payoff:", "error", "value"),
        ("features: {}\n  slices: {by: []}", "must not be empty", "", "error", ""),
        (
            "features: {}\n  slices: {by: [distance]}",
            "slices need rows, and the servers tell sums only",
            "log: {features: true}",
            "warning",
            "slices",
        ),
        (
            f"{LOG}\n  features: {{}}\n  slices: {{by: [distance, distance]}}",
            "'distance' stands here twice",
            "keep one",
            "error",
            "distance]",
        ),
        (
            f"{LOG}\n  features: {{columns: [p]}}",
            "'p' is no feature: the log's section has another meaning for it",
            "take it out",
            "error",
            "p]",
        ),
    ],
)
def test_what_would_never_be_seen_is_told_at_its_place(  # noqa: PLR0917 - a column each
    monitored: Changed, section: str, what: str, hint: str, severity: str, at: str
) -> None:
    found = [
        fault for fault in monitored(section) if "has no column" not in fault.what or "no column for" in fault.what
    ]
    said, way, how, place = one(found)
    assert what in said
    assert hint in way
    assert how == severity
    assert place.startswith(at)


@pytest.mark.parametrize(
    ("item", "what", "hint", "severity", "at"),
    [
        ("{}", "nothing follows this breach", "exactly one of notify, retrain", "error", "{}"),
        ("{pause: {}, rollback: {}}", "this is rollback and pause at once", "exactly one", "error", "{pause"),
        ("pause, pause", "this pause stands here twice", "keep one", "error", "pause]"),
        ("puase", "must be a section", "it has the keys notify, retrain", "error", "puase"),
        ("retrain", "must be a section", "it has the keys notify, retrain", "error", "retrain"),
        ("notify", "nobody is named who could be told", 'notify: ["${NAME}"]', "error", "notify"),
        ("rollback", "this rollback never happens: none of performance, value", "when: [features]", "warning", "rollb"),
        ("pause: {when: [value]}", "'value' leads to nothing: it is not judged", "value: {min: 0}", "warning", "value"),
        ("pause: {when: []}", "no breach leads to this pause", "when: [performance]", "error", "when"),
        ("pause: {when: [features, features]}", "'features' stands here twice", "keep one", "error", "features]"),
        ("pause: {when: [drift]}", "'drift' is not known here", "", "error", "drift"),
        ("pause: {when: features}", "must be a list", "write [features]", "error", "features"),
        ("pause: {on: [features]}", "unquoted 'on' is true to some", "", "error", "on"),
        ("retrain: {}", "this starts no training", "exactly one of github, webhook, command", "error", "retrain"),
        (
            "retrain: {command: ./train.sh, github: a/b, workflow: t.yml}",
            "training is started by github and by command",
            "exactly one",
            "error",
            "retrain",
        ),
        ("retrain: {github: a/b}", "no workflow is named", "add workflow", "error", "github"),
        ("retrain: {github: a, workflow: t.yml}", "'a' is not valid here", "OWNER/NAME", "error", "a,"),
        ("retrain: {github: a/b, workflow: train}", "this names no workflow", "mlship-retrain.yml", "error", "train}"),
        (
            "retrain: {github: a/b, workflow: .github/workflows/t.yml}",
            "the file's name only",
            "write t.yml",
            "error",
            ".github",
        ),
        (
            f"retrain: {{github: a/b, workflow: t.yml, token: {SECRET}}}",
            "a secret is named, never written",
            'write "${NAME}"',
            "error",
            "*",
        ),
        (
            "retrain: {command: ./train.sh, ref: main}",
            "'ref' is for github, and this is a command",
            "take it out",
            "error",
            "ref",
        ),
        ("retrain: {github: a/b, workflow: t.yml, api: github.com}", "no address of an API", "https://", "error", "gi"),
        (
            'retrain: {github: a/b, workflow: t.yml, api: "https://github.com"}',
            "this is the website, not the API",
            "https://api.github.com",
            "error",
            '"https',
        ),
        (
            f'retrain: {{github: a/b, workflow: t.yml, api: "https://me:{SECRET}@h/"}}',
            "user and password do not belong",
            "token",
            "error",
            '"https',
        ),
        (
            'retrain: {github: a/b, workflow: t.yml, api: "https://h/api?x=1"}',
            "an address only",
            "https://",
            "error",
            '"https',
        ),
        (
            'retrain: {github: a/b, workflow: t.yml, api: "http://h/api/v3"}',
            "anybody on the way can read the token",
            "https?",
            "warning",
            '"http',
        ),
        (
            f'retrain: {{webhook: "https://h/x?token={SECRET}"}}',
            "a secret is named, never written",
            '"${RETRAIN_URL}"',
            "error",
            '"https',
        ),
        ('retrain: {webhook: "ftp://h/x"}', "asked by http or https", "https://example.com/retrain", "error", '"ftp'),
        ('retrain: {webhook: "http://h/x"}', "read and change what is asked for", "https?", "warning", '"http'),
        ('retrain: {command: "./train.sh | tee x"}', "and '|' would mean nothing", "sh -c", "error", '"./train'),
        ("retrain: {command: ./trian.sh}", "there is no file ./trian.sh", "relative to the policy", "error", "./trian"),
        ("retrain: {command: nosuchprogram}", "where it is missing, nothing is trained", "./check.sh", "warning", "no"),
        (
            "retrain: {command: ./train.sh, cool_down: 10m}",
            "10m is less than a window, 1h",
            "a training needs time",
            "warning",
            "10m",
        ),
        ("retrain: {command: ./train.sh, cool_down: 7}", "a duration needs a unit", "'7s'", "error", "7"),
    ],
)
def test_what_would_follow_nothing_is_told_at_its_place(  # noqa: PLR0917 - a column each
    monitored: Changed, item: str, what: str, hint: str, severity: str, at: str
) -> None:
    found = monitored(f"features: {{}}\n  on_breach: [{item}]")
    assert SECRET not in str(found)
    assert SECRET not in json.dumps([fault.as_dict() for fault in found])
    if "'on'" in what:  # the reader's own complaint; the key below it is then unknown, too
        assert what in found[0].what
        return
    said, way, how, place = one(found)
    assert what in said
    assert hint in way
    assert how == severity
    assert place.startswith(at)


@pytest.mark.parametrize(
    ("section", "old", "new", "what", "severity"),
    [
        ("features: {}", "  reference: {path: spring.csv, time: time_hour}", "", "", ""),
        (
            "features: {}",
            "spring.csv, time: time_hour",
            "spring.csv",
            "without data.reference.time nobody knows how windows differ by chance",
            "warning",
        ),
        (
            "season: [hour]\n  features: {}",
            "  reference: {path: spring.csv, time: time_hour}\n  entity",
            "  entity",
            "",
            "",
        ),
        (
            f"{LOG}\n  performance: {{recall: {{min: 0.6}}}}",
            "july.csv, target: late, time: time_hour",
            "july.csv, target: late",
            "without data.evaluation.time the first weeks of live traffic must show how days differ",
            "warning",
        ),
        (
            f"{LOG}\n  performance: {{recall: {{min: 0.6}}}}",
            "target: late, ",
            "",
            "without data.evaluation.target nothing is known of 'performance' before the first labels",
            "warning",
        ),
        (
            "features: {}",
            VALID[VALID.index("data:") : VALID.index("gates:")],
            "",
            "'monitor' needs data.evaluation: without a baseline",
            "error",
        ),
        ("features: {}", VALID[VALID.index("rollout:") :], "", "nothing is read: there is no log", "warning"),
        (LOG + "\n  features: {}", VALID[VALID.index("rollout:") :], "", "", ""),
        (
            "features: {}\n  on_breach: [pause]",
            VALID[VALID.index("rollout:") :],
            "",
            "there is nothing to pause",
            "warning",
        ),
        (f"{LOG}\n  value: {{min: 0}}", "gates:\n", PAYOFF, "", ""),
        (
            f"{LOG}\n  value: {{min: 0}}",
            "gates:\n",
            'gates:\n  value: {function: "checks:earned", min: 0}\n',
            "a function of your own is not asked about live traffic",
            "error",
        ),
        (
            "features: {columns: [distance]}",
            "rollout:\n",
            "serving: {log: {redact: [distance]}}\nrollout:\n",
            "'distance' is redacted: no server tells its values",
            "error",
        ),
        (
            "features: {}\n  slices: {by: [distance]}",
            "rollout:\n",
            "serving: {log: {redact: [distance]}}\nrollout:\n",
            "'distance' is redacted",
            "error",
        ),
        (
            "features: {}\n  slices: {by: [distance]}",
            "rollout:\n",
            "serving: {log: {features: false}}\nrollout:\n",
            "slices need rows",
            "warning",
        ),
        ("performance: {recall: {min: 0.6}}", "rollout:\n", "serving: {log: {sample: 100%}}\nrollout:\n", "", ""),
        ("features: {}\n  on_breach: [notify]", "rollout:\n", 'notify: ["${PAGER}"]\nrollout:\n', "", ""),
        (
            "features: {}\n  on_breach: [notify]",
            "rollout:\n",
            "notify: []\nrollout:\n",
            "nobody is named who could be told",
            "error",
        ),
    ],
)
def test_what_the_rest_of_the_policy_lacks_for_it_is_told(  # noqa: PLR0917 - a column each
    monitored: Changed, section: str, old: str, new: str, what: str, severity: str
) -> None:
    found = monitored(section, old, new)
    mine = [fault for fault in found if what and what in fault.what]
    assert [str(fault.severity) for fault in mine] == ([severity] if what else [])
    about = ("monitor", "features", "slices", "nobody", "labels", "nothing is read", "without data")
    if not what:
        assert [fault.what for fault in found if any(word in fault.what for word in about)] == []


@pytest.mark.parametrize(
    ("section", "what", "hint", "severity"),
    [
        ("log: {path: nothing.csv}\n  features: {}", "there is no file nothing.csv yet", "relative", "warning"),
        ("log: {path: logs/*.csv}\n  features: {}", "there is no file logs/*.csv yet", "relative", "warning"),
        ("log: {path: log.csv}\n  features: {}", "monitor.log has no column 'time'", "it has at, late", "error"),
        ("log: {path: log.csv, time: att}\n  features: {}", "no column 'att'", "did you mean 'at'?", "error"),
        ("log: {path: train.sh, time: at}\n  features: {}", "cannot be used", "Parquet", "error"),
        (f"{LOG.replace('score: p', 'score: q')}\n  features: {{}}", "monitor.log has no column 'q'", "", "error"),
        (f"{LOG}\n  features: {{columns: [dest]}}", "data.reference has no column 'dest'", "it has", "error"),
        (f"{LOG}\n  features: {{columns: [tailnum]}}", "monitor.log has no column 'tailnum'", "it has", "error"),
        (f"{LOG}\n  features: {{}}\n  slices: {{by: [tailnum]}}", "monitor.log has no column", "it has", "error"),
        (
            "log: {path: log.csv, time: at, prediction: late, key: id}\n  labels: {path: labels.csv, target: truth}\n"
            "  features: {}",
            "monitor.labels has no column 'truth'",
            "it has request_id, label",
            "error",
        ),
        (
            "log: {sql: {url: sqlite:///log.db, query: SELECT * FROM log}, time: at}\n  features: {}",
            "there is no SQLite database",
            "",
            "error",
        ),
        (
            f'log: {{sql: {{url: "postgresql://me:{SECRET}@h/d", query: SELECT * FROM log}}, time: at}}\n'
            "  features: {}",
            "a password does not belong into a policy",
            "DATABASE_URL",
            "error",
        ),
        (
            'log: {sql: {url: "postgresql://h/d", query: DELETE FROM log}, time: at}\n  features: {}',
            "this is not a query for rows",
            "SELECT",
            "error",
        ),
        ("log: {path: 's3://b/log.csv', time: at}\n  features: {}", "only local files can be read", "sql", "error"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(
    monitored: Changed, section: str, what: str, hint: str, severity: str
) -> None:
    found = monitored(section)
    mine = [fault for fault in found if what in fault.what]
    assert [str(fault.severity) for fault in mine] == [severity], [fault.what for fault in found]
    assert hint in mine[0].hint
    assert SECRET not in str(found)


def test_rows_that_are_only_counted_need_no_order(monitored: Changed) -> None:
    assert monitored('log: {sql: {url: "postgresql://h/d", query: SELECT * FROM log}, time: at}\n  features: {}') == []


def test_the_words_of_a_breach_are_short_for_sections(policy_file: Path) -> None:
    policy_file.write_text(
        VALID + "monitor:\n  features: {}\n  performance: {recall: {min: 0.6}}\n  on_breach:\n    - pause\n"
        "    - rollback: {when: [performance]}\nserving: {log: {sample: 100%}}\n"
    )
    monitor = load_policy(policy_file).policy.monitor
    assert monitor is not None
    pause, rollback = monitor.on_breach
    assert pause.pause is not None
    assert pause.pause.on == ("features", "predictions", "performance", "value")
    assert rollback.rollback is not None
    assert rollback.rollback.on == ("performance",)


def test_every_metric_that_is_described_is_known_and_the_other_way_round() -> None:
    described = (Monitor.model_fields["performance"].description or "").partition("metric: ")[2]
    assert described.replace("; for numbers", ",").replace(" ", "").split(",") == list(METRICS)


def test_every_kind_of_breach_has_a_limit_that_makes_it_possible() -> None:
    from typing import get_args

    from mlship.policy.lint_breach import _LIMITS, _judged

    assert set(_LIMITS) == set(get_args(Kind))
    everything = {
        "features": {},
        "predictions": {},
        "performance": {"recall": {"min": 0.5}},
        "value": {"min": 0},
        **dict.fromkeys(("max_age", "max_silence"), "9d"),
    }
    assert _judged(Monitor.model_validate(everything)) == set(_LIMITS)
    assert _judged(Monitor()) == set()
