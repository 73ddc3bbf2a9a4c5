"""The drift gate: columns, predictions and outcomes against the reference, over time too."""
