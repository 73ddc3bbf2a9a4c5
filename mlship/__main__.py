"""`python -m mlship` is the same as `mlship`."""

from mlship.cli.main import main

main()
