"""What the data plane and the servers counted, as windows per arm."""
