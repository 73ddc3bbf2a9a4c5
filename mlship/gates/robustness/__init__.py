"""The robustness gate: rows that are a little wrong."""
