"""The whole story on real data on one machine: `mlship demo`."""
