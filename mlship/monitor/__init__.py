"""After promotion: one pass over live traffic, what it finds, and what follows."""
