"""Load on a server, sent on time whatever the answers do, and what it showed."""
