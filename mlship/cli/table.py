"""The table of commands; a command's module is imported only when the command is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: name: (module, function, one line for `mlship --help`: the first line of the function's docstring)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("mlship.cli.demo", "command", "Watch real models, on real flights, be promoted, refused and rolled back."),
    "init": (
        "mlship.cli.init",
        "init",
        "Draft a policy from the champion's own figures, with a workflow and hooks.",
    ),
    "validate": (
        "mlship.cli.validate",
        "validate",
        "Check policies offline: syntax, units, references, contradictions.",
    ),
    "policy": ("mlship.cli.policy", "policy", "Test a policy with figures of your own, or compare two."),
    "plan": (
        "mlship.cli.plan",
        "plan",
        "Show what a promotion would do now, and what each stage will be able to see.",
    ),
    "evaluate": (
        "mlship.cli.evaluate",
        "evaluate",
        "Judge the candidate by every gate of the policy, against the champion.",
    ),
    "build": (
        "mlship.cli.build",
        "build",
        "Build the candidate's serving image, unless it is there already.",
    ),
    "latency": (
        "mlship.cli.latency",
        "latency",
        "Prove the latency budget against the server that ships.",
    ),
    "rollout": (
        "mlship.cli.rollout",
        "rollout",
        "Let the candidate onto traffic step by step; promote it, or go back by itself.",
    ),
    "ship": (
        "mlship.cli.ship",
        "ship",
        "The whole job: evaluate, build, prove the latency budget, and roll out.",
    ),
    "promote": (
        "mlship.cli.promote",
        "promote",
        "Move a running rollout to its next step; with --full, promote the candidate now.",
    ),
    "pause": ("mlship.cli.pause", "pause", "Hold a rollout at its weight."),
    "resume": ("mlship.cli.resume", "resume", "Let a paused rollout go on; its bake goes on from where it stood."),
    "abort": ("mlship.cli.abort", "abort", "End a rollout before its promotion: all traffic back to stable."),
    "rollback": ("mlship.cli.rollback", "command", "Go back to the previous champion, now."),
    "drill": (
        "mlship.cli.drill",
        "drill",
        "Take the model away for a moment, and see what callers get.",
    ),
    "status": (
        "mlship.cli.status",
        "status",
        "Show what runs: endpoint, versions, weights, servers, and the rollout under way.",
    ),
    "monitor": (
        "mlship.cli.monitor",
        "monitor",
        "Watch the champion after its promotion: drift, performance, value, age.",
    ),
    "watch": ("mlship.cli.watch", "watch", "Watch a rollout from any terminal; exit with its verdict's code."),
    "endpoint": (
        "mlship.cli.endpoint",
        "endpoint",
        "Apply the endpoint section to the running router: keys, certificates, limits.",
    ),
    "down": ("mlship.cli.down", "down", "Stop router and servers; traffic ends. Registry, ledger and journals stay."),
    "history": ("mlship.cli.history", "history", "Show who did what, when, and on which evidence; the newest last."),
    "why": ("mlship.cli.why", "why", "Tell why a version serves or does not, with the evidence behind it."),
    "doctor": (
        "mlship.cli.doctor",
        "doctor",
        "Find what is missing on this machine, and the one command that mends each.",
    ),
    "schema": ("mlship.cli.schema", "schema", "Print the policy's JSON Schema, for completion in editors."),
}

#: The commands below a command: `mlship policy test`.
BELOW: dict[str, dict[str, tuple[str, str, str]]] = {
    "policy": {
        "test": (
            "mlship.cli.policy.test",
            "command",
            "Judge figures of your own by the policy, and compare with what you expect.",
        ),
        "diff": (
            "mlship.cli.policy.diff",
            "diff",
            "Tell what differs between two policies, and what of it is looser or stricter.",
        ),
    },
}
_HELP = {"help_option_names": ["-h", "--help"]}


class Single(TyperCommand):
    """A command whose help writes arguments as people do: POLICY when it is needed, [POLICY] when not; no types."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                setattr(parameter, "display_type_rich", lambda **_: "")  # noqa: B010 - typer has it, its base has not

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        return [piece[1:-1] if piece.startswith("{") else piece for piece in super().collect_usage_pieces(ctx)]


class _Loaded(Mapping[str, Any]):
    """The commands of a table by name; a look-up imports the command's module."""

    def __init__(self, table: Mapping[str, tuple[str, str, str]]) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Any:
        module, function, _ = self._table[name]
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        if self._table is COMMANDS and name in BELOW:
            settings: dict[str, Any] = {"cls": _below(name), "no_args_is_help": True, "context_settings": _HELP}
            single.callback(**settings)(getattr(import_module(module), function))
        else:
            single.command(name, cls=Single, context_settings=_HELP)(getattr(import_module(module), function))
        return typer.main.get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class Interrupted(Exception):
    """A person, or whoever runs the command, wants it to end."""


class NobodyReads(Exception):
    """What is written goes nowhere: the pipe is closed. Typer would end with 1, which is a failed gate's."""


class Commands(TyperGroup):
    """A group whose help needs none of its commands' modules."""

    table: Mapping[str, tuple[str, str, str]] = COMMANDS

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loaded(self.table)  # type: ignore[assignment]  # only ever read here, where typer declares a mutable one

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Read the command line; help is written here, and may be interrupted like a result."""
        try:
            return super().make_context(*arguments, **settings)
        except KeyboardInterrupt:
            raise Interrupted from None
        except BrokenPipeError:
            raise NobodyReads from None

    def invoke(self, ctx: Any) -> Any:
        """Let an interruption through to the boundary, which tells it; typer would end with 130 and no word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except BrokenPipeError:
            raise NobodyReads from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(self.table)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Names with their lines from the table; looking each command up would import them all."""
        self.commands = {name: TyperCommand(name, short_help=line) for name, (_, _, line) in self.table.items()}
        return super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.table.items()])


def _below(name: str) -> type[Commands]:
    """The group of the commands below a command."""
    return type(f"Below{name.title()}", (Commands,), {"table": BELOW[name]})
