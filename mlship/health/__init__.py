"""What must be there for mlship to work on this machine: facts looked up at the edge, and verdicts on them."""
