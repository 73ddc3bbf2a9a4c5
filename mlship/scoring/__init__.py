"""Predictions of models that nobody trusts yet: one process a model, scanned first, watched, and its answers kept."""
