"""A drill: servers are taken away for a moment under live traffic, and what callers get is held against the policy."""
