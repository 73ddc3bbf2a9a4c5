"""What has changed between two fronts, in words. It counts keys, and tells neither keys nor digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mlship.policy.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from mlship.engines.front import Front

T = TypeVar("T")


def changes(before: Front, after: Front) -> list[str]:
    """One short line for each thing that callers will find different; empty when nothing is."""
    lines = [_keys(before, after), _tokens(before, after)]
    if before.key_header != after.key_header:
        lines.append(f"header of the API key: {before.key_header} -> {after.key_header}")
    if (before.certificate, before.private_key) != (after.certificate, after.private_key):
        lines.append(f"certificate: {before.certificate or 'none'} -> {after.certificate or 'none'}")
    elif before.certificate_digest != after.certificate_digest:
        lines.append("certificate: replaced")
    lines += [
        _moved("timeout", before.timeout, after.timeout, format_duration),
        _moved("largest body", before.max_body, after.max_body, format_size),
        _moved("rate limit", before.rate_limit, after.rate_limit, _rate),
        _moved("fallback", before.fallback, after.fallback, str),
    ]
    if (before.rule_answer, before.rule_function) != (after.rule_answer, after.rule_function):
        lines.append("rule: changed")
    lines.append(_moved("jobs that may wait", before.queue_jobs, after.queue_jobs, str))
    lines.append(_moved("answers are kept for", before.queue_keep, after.queue_keep, format_duration))
    return [line for line in lines if line]


def credentials(front: Front) -> str:
    """Who may call, in words: `2 API keys, or tokens of https://login.example.com`."""
    found = []
    if front.key_digests is not None:
        found.append(_count(len(front.key_digests)))
    if front.jwt_issuer:
        found.append(f"tokens of {front.jwt_issuer}")
    return ", or ".join(found) or "everybody who can reach the address"


def _keys(before: Front, after: Front) -> str:
    old, new = before.key_digests, after.key_digests
    if old == new:
        return ""
    if old is None or new is None:
        return "API keys: " + (f"asked for now, {_count(len(new))}" if new is not None else "not asked for any more")
    added, gone = len(set(new) - set(old)), len(set(old) - set(new))
    return f"{_count(len(new))}: +{added} -{gone}" if added or gone else ""


def _tokens(before: Front, after: Front) -> str:
    one, other = ((front.jwt_issuer, front.jwt_audiences, front.jwks) for front in (before, after))
    if one == other:
        return ""
    if before.jwt_issuer != after.jwt_issuer:
        return f"tokens: {before.jwt_issuer or 'none'} -> {after.jwt_issuer or 'none'}"
    return "tokens: " + " and ".join(
        what for what, changed in (("audiences", one[1] != other[1]), ("keys", one[2] != other[2])) if changed
    ) + " changed"  # fmt: skip


def _moved(what: str, before: T, after: T, shown: Callable[[T], str]) -> str:
    return "" if before == after else f"{what}: {shown(before)} -> {shown(after)}"


def _rate(per_second: float | None) -> str:
    return "none" if per_second is None else format_rate(per_second)


def _count(keys: int) -> str:
    return f"{keys} API key" + ("" if keys == 1 else "s")
