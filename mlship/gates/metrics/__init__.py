"""The metrics gate: names and what they measure, intervals, plots."""
