"""The error tree: every way mlship ends badly, with one exit code each and what / where / next step in the text."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Documented exit codes; a shell script or a CI step may rely on them."""

    PASSED = 0
    GATE_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INCONCLUSIVE = 4
    ROLLED_BACK = 5
    INTERRUPTED = 130


class MlshipError(Exception):
    """Base of all errors that a user may see; the command line prints it without a traceback.

    Parameters
    ----------
    what
        One sentence: what happened.
    where
        The file, URL, model or process that it happened to.
    hint
        What to do next: ideally a command that can be pasted.
    """

    exit_code: Exit = Exit.UNREACHABLE

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class UsageError(MlshipError):
    """The command was called in a way that cannot work."""

    exit_code = Exit.USAGE


class PolicyError(MlshipError):
    """A policy file is unreadable or invalid."""

    exit_code = Exit.USAGE


class RegistryError(MlshipError):
    """The registry is out of reach, or does not hold what was asked for."""

    exit_code = Exit.UNREACHABLE


class DataError(MlshipError):
    """Rows could not be read, or lack what a gate needs."""

    exit_code = Exit.UNREACHABLE


class ModelError(MlshipError):
    """A model could not be loaded, or failed on its input."""

    exit_code = Exit.UNREACHABLE


class ModelFault(ModelError):
    """The model itself is at fault: it crashed, hung, took too much memory, or answered something else."""


class ModelRefused(ModelError):
    """The model was not loaded: its scan found what the policy does not trust."""

    exit_code = Exit.GATE_FAILED


class EngineError(MlshipError):
    """The serving engine (router, process manager, servers) could not do what was asked."""

    exit_code = Exit.UNREACHABLE


class LoadError(MlshipError):
    """A server could not be put under load: its address is unknown, or the load generator failed."""

    exit_code = Exit.UNREACHABLE


class StateError(MlshipError):
    """A file under the state directory (ledger, journal, lock) is damaged, locked or not writable."""

    exit_code = Exit.UNREACHABLE


class LeaseLost(StateError):
    """Another controller holds the endpoint."""


class MovedError(MlshipError):
    """The world changed under a promotion: an alias moved, or an artifact is not the one that was evaluated."""

    exit_code = Exit.UNREACHABLE


class GateFailed(MlshipError):
    """A promotion was asked for, but its gates did not pass."""

    exit_code = Exit.GATE_FAILED


class Inconclusive(MlshipError):
    """There is not enough data to decide; no data is never a pass."""

    exit_code = Exit.INCONCLUSIVE
