"""Pure functions: intervals, e-processes, sketches."""
