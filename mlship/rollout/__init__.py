"""The staged rollout: plan, pure machine and judge, journal, and the controller loop."""
