"""The latency gate: what is measured, and how it is judged. `mlship latency` runs it, after the build."""
