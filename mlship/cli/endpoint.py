"""`mlship endpoint`: what the policy says about callers, applied to the router that runs."""

from __future__ import annotations

import time

import typer

from mlship.cli.answers import answer
from mlship.cli.common import PolicyArgument, context
from mlship.cli.telling import Format, FormatOption, tell


def endpoint(ctx: typer.Context, policy: PolicyArgument, fmt: FormatOption = Format.TEXT) -> None:
    """Apply the endpoint section to the running router: keys, certificates, limits.

    Nothing is restarted and no request is lost. When it returns, a key that is gone lets nobody in any more.

    \b
    Examples:
      mlship endpoint mlship.yaml
      mlship endpoint mlship.yaml --format json
    """
    from mlship.engines import table
    from mlship.engines.changes import changes, credentials
    from mlship.engines.front import front
    from mlship.ledger import Ledger, who
    from mlship.policy.load import load_policy
    from mlship.types import LedgerEntry

    home, loaded = context(ctx).home, load_policy(policy)
    wanted = front(loaded.policy.endpoint, loaded.resolve)
    before = table.found(home, loaded.policy.model).apply(wanted)
    changed, model = changes(before, wanted), loaded.policy.model
    if changed:
        reason, evidence = "; ".join(changed), {"policy": loaded.digest}
        Ledger(home.ledger).append(LedgerEntry(time.time(), who(), "applied", model, None, None, reason, evidence))
    later = []
    if wanted.timeout > before.timeout or wanted.max_body > before.max_body:
        later.append("servers that run keep their own timeout and largest body until they are started again")
    lines = [f"{model}  {wanted.url}  for {credentials(wanted)}", *(f"  {line}" for line in changed or ["no change"])]
    lines += [f"  note: {line}" for line in later]
    document = {"model": model, "endpoint": wanted.url, "callers": credentials(wanted), "changed": changed}
    tell(answer("endpoint", model, lines, {**document, "notes": later}), fmt)
