"""The promotion policy: schema, loading with positions, lint."""
