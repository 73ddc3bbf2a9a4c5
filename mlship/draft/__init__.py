"""Drafts a policy, and the files around it, from what was found about a model and its data."""
