"""Offline checks before release: one file a gate, one table that lists them."""
