"""Runs one mlship command as the action's inputs ask, with every report that it offers, and passes on how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from runner import annotate, event, fail, output, run_url, say

#: Commands that this action runs, and whether they have a page (`--report html=FILE`).
COMMANDS = {
    "validate": False,
    "policy test": False,
    "policy diff": False,
    "plan": False,
    "evaluate": True,
    "build": False,
    "latency": True,
    "rollout": True,
    "ship": True,
    "rollback": False,
    "monitor": True,
    "status": False,
    "why": True,
}
#: What a report of each kind is called among the artifacts.
FILES = {
    "html": "report.html",
    "markdown": "report.md",
    "json": "report.json",
    "junit": "junit.xml",
    "sarif": "report.sarif",
}
MEANINGS = {
    0: "passed",
    1: "a gate failed",
    2: "usage, or an invalid policy",
    3: "could not evaluate: registry, engine or data out of reach",
    4: "inconclusive, paused or aborted",
    5: "rolled back",
    130: "interrupted",
}
#: Verdicts that mlship has no time to tell by itself.
VERDICTS = {0: "passed", 1: "failed", 4: "inconclusive", 5: "rolled_back", 130: "interrupted"}
#: What a person may let pass: the others say that there is no result.
ALLOWABLE = (1, 4, 5)


def main() -> int:
    """Read the inputs, run the command, and write the outputs; the exit code of the step."""
    command, subjects = " ".join(given("COMMAND").split()), lines(given("POLICY"))
    if command not in COMMANDS:
        fail(f"input 'command': {command!r} is none of {', '.join(COMMANDS)}")
    if wrong := [name for name in subjects if name.startswith("-")]:
        fail(f"input 'policy': {wrong[0]!r} looks like an option: those go into 'args', and a file is ./{wrong[0]}")
    try:
        options = shlex.split(given("ARGS"), comments=True)
    except ValueError as error:
        fail(f"input 'args': {error}")
    allowed = codes(given("ALLOW"))
    directory = Path(given("WORKING_DIRECTORY") or ".")
    if not directory.is_dir():
        fail(f"input 'working-directory': there is no directory {directory}")
    mlship = shutil.which("mlship")
    if mlship is None:
        fail("there is no mlship on the PATH", 3)

    reports = Path(tempfile.mkdtemp(prefix="mlship-", dir=os.environ.get("RUNNER_TEMP")))
    output("reports", str(reports))
    output("artifact", artifact(command, subjects, directory))
    told = told_by(mlship, command, directory)
    before = len(outputs())
    words = [mlship, *command.split(), *options, *report_options(command, reports, told), "--", *subjects]
    code = run(words, directory)

    if not re.search(r"^verdict(=|<<)", outputs()[before:], re.MULTILINE):
        output("verdict", VERDICTS.get(code, "error"))
    output("exit-code", str(code))
    note(reports, command, subjects, directory, code)
    meaning = MEANINGS.get(code, "no exit code of mlship's")
    if code in allowed:
        annotate("notice", f"mlship {command} ended with exit code {code} ({meaning}), which 'allow' lets pass")
        return 0
    say(f"mlship {command} ended with exit code {code} ({meaning})")
    return code


def given(name: str) -> str:
    """An input of the action."""
    return os.environ.get(f"INPUT_{name}", "").strip()


def lines(text: str) -> list[str]:
    """What stands on the lines of an input, without empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def codes(text: str) -> set[int]:
    """Exit codes that are let pass."""
    words = re.split(r"[\s,]+", text.strip()) if text.strip() else []
    if wrong := [word for word in words if word not in map(str, ALLOWABLE)]:
        fail(f"input 'allow': {wrong[0]!r} is none of 1, 4 and 5; the others say that nothing was found out")
    return {int(word) for word in words}


def told_by(mlship: str, command: str, directory: Path) -> str:
    """The help of a command: it says which formats and reports this version of mlship has for it."""
    words = [mlship, *command.split(), "--help"]
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(words, cwd=directory, env=wide, check=False, capture_output=True, text=True)
    if done.returncode:
        fail(f"this mlship has no command {command!r}")
    return done.stdout


def report_options(command: str, reports: Path, told: str) -> list[str]:
    """Every kind of report that the command offers, and the result in GitHub's own form."""
    options = ["--format", "github"] if re.search(r"^ +--format +<[^>]*\bgithub\b", told, re.MULTILINE) else []
    if re.search(r"^ +--report\b", told, re.MULTILINE):
        kinds = [kind for kind in FILES if kind != "html" or COMMANDS[command]]
        options += [word for kind in kinds for word in ("--report", f"{kind}={reports / FILES[kind]}")]
    return options


def run(words: list[str], directory: Path) -> int:
    """Run mlship in the step's own log; whoever cancels the step reaches it."""
    say("$ mlship " + shlex.join(words[1:]))
    # What mlship starts outlives the job: the runner ends every process that has this mark when a job is over.
    environment = {name: value for name, value in os.environ.items() if name != "RUNNER_TRACKING_ID"}
    with subprocess.Popen(words, cwd=directory, env=environment) as process:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, _: process.send_signal(number))
        code = process.wait()
    return 128 - code if code < 0 else code


def key(command: str, subjects: list[str], directory: Path) -> str:
    """Tells the comments and artifacts of one command on one policy from those of others."""
    text = "\0".join([command, os.path.normpath(directory), *subjects])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def artifact(command: str, subjects: list[str], directory: Path) -> str:
    """The name that was asked for, or `mlship-evaluate-0123abcd`."""
    name = given("REPORT_ARTIFACT")
    if wrong := [letter for letter in name if letter in '"<>|*?:\\/' or not letter.isprintable()]:
        fail(f"input 'report-artifact': {wrong[0]!r} may not be in the name of an artifact")
    return name or f"mlship-{command.replace(' ', '-')}-{key(command, subjects, directory)[:8]}"


def outputs() -> str:
    """The step's outputs so far."""
    path = Path(os.environ.get("GITHUB_OUTPUT", ""))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def note(reports: Path, command: str, subjects: list[str], directory: Path, code: int) -> None:
    """Leave what a comment needs: its text, also when there is no result, and what it is about."""
    about = f"mlship {command} {' '.join(subjects)}".strip()
    if not (reports / FILES["markdown"]).exists():
        # No word of the log: there GitHub hides secrets, in a comment it does not.
        link = f"[the log of this run]({run_url()})" if run_url() else "the log of this run"
        text = f"### {'✅' if code == 0 else '⚠️'} {quoted(about)}: {MEANINGS.get(code, f'exit code {code}')}\n\n"
        text += f"It ended with exit code {code} and wrote no report; {link} has what it said.\n"
        (reports / FILES["markdown"]).write_text(text, encoding="utf-8")
    found = event().get("pull_request", {}).get("number")
    comment = {"pull_request": found, "key": key(command, subjects, directory), "about": about[:200], "exit_code": code}
    (reports / "comment.json").write_text(json.dumps(comment) + "\n", encoding="utf-8")


def quoted(text: str) -> str:
    """Text as code in Markdown."""
    return "`" + "".join(letter if letter.isprintable() and letter != "`" else " " for letter in text) + "`"


if __name__ == "__main__":
    sys.exit(main())
