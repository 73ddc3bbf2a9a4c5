"""Lint of `notify`: a URL of a service is a secret, so it is named and never written. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.faults import Fault, is_named_only
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find
from mlship.policy.urls import scheme_of, split_urls


def lint_notify(subject: Subject) -> Iterable[Fault]:
    """Faults of every item that is written out, or whose variable holds no URL."""
    if subject.has_broken(("notify",)):
        return
    for index, text in enumerate(subject.policy.notify):
        here: Location = ("notify", index)
        node = find(subject.tree, here)
        if isinstance(node, Scalar) and not is_named_only(node.written):
            what = "a secret is named, never written: whoever reads this file can write in your name"
            yield subject.error(here, what, 'write "${NAME}", set the variable, and change the secret')
        elif not (urls := split_urls(text)) or not all(map(scheme_of, urls)):
            what = "what this variable holds is no URL of a service"
            yield subject.error(here, what, "such as slack://TOKEN_A/TOKEN_B/TOKEN_C, or several with commas between")
