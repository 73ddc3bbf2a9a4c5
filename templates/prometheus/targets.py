"""Targets for Prometheus' `file_sd_configs`: the model servers and routers of mlship's local engine on this machine.

    python targets.py /srv/flights/.mlship > /etc/prometheus/mlship/targets.json

Run it every minute, or after each rollout: ports are new with each version. Only the standard library is needed, and of
the secrets in the files that it reads nothing is written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def targets(home: Path) -> list[dict[str, Any]]:
    """Servers (`/metrics`) and routers (`/stats/prometheus`), with the labels model, role and, of servers, version."""
    found: list[dict[str, Any]] = []
    for path in sorted(home.glob("engines/*/engine.json")):
        try:
            engine = json.loads(path.read_text(encoding="utf-8"))
            model, router = str(engine["model"]), int(engine["admin_port"])
            servers = [(str(one["version"]), int(one["port"])) for one in engine["servers"].values()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            sys.stderr.write(f"{path}: {error}\n")
            continue
        for version, port in servers:
            labels = {"model": model, "version": version, "role": "server"}
            found.append({"targets": [f"127.0.0.1:{port}"], "labels": labels})
        labels = {"model": model, "role": "router", "__metrics_path__": "/stats/prometheus"}
        found.append({"targets": [f"127.0.0.1:{router}"], "labels": labels})
    return found


if __name__ == "__main__":
    every = [one for home in sys.argv[1:] or [".mlship"] for one in targets(Path(home))]
    sys.stdout.write(json.dumps(every, indent=1) + "\n")
