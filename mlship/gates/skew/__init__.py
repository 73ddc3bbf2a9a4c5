"""The skew gate: online against offline features, and the likely cause of each difference."""
