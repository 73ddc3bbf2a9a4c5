"""Reads the JSON that `mlship demo --report` wrote, and fails unless the story came out as its data says it must."""

from __future__ import annotations

import json
import sys
from pathlib import Path

EXPECTED = {"2": "promoted", "3": "refused", "4": "rolled_back", "5": "rolled_back"}


def main(file: str) -> None:
    report = json.loads(Path(file).read_text())
    found = {scenario["candidate_version"]: scenario["verdict"] for scenario in report["scenarios"]}
    assert found == EXPECTED, found
    assert report["traffic"]["failed"] == 0, report["traffic"]
    assert report["traffic"]["sent"] > 1000, report["traffic"]
    assert len(report["rollback_ms"]) == 2, report["rollback_ms"]
    sys.stdout.write(f"demo: {json.dumps(report['traffic'])}, rollback_ms {report['rollback_ms']}\n")


if __name__ == "__main__":
    main(sys.argv[1])
