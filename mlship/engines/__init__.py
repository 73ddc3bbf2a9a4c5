"""Where servers and routers run: one Protocol, one table."""
