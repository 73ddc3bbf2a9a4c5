"""The Docker engine: servers and their router as containers of one engine, here or elsewhere."""

from mlship.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
