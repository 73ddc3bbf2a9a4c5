"""Open-loop load: requests sent on time whatever the answers do, and what became of them."""
