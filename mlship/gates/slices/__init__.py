"""The slices gate, and what the fairness and agreement gates share with it."""
