"""A checklist as GitLab's report artifacts."""

from __future__ import annotations

from mlship.report.checklist import Checklist


def code_quality(checklist: Checklist) -> str:
    """Not there yet: the next commit writes it."""
    raise NotImplementedError(checklist.command)


def metrics(checklist: Checklist) -> str:
    """Not there yet: the next commit writes it."""
    raise NotImplementedError(checklist.command)


def load_performance(checklist: Checklist) -> str:
    """Not there yet: the next commit writes it."""
    raise NotImplementedError(checklist.command)
