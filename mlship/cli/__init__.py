"""The command line: load, call, render, exit. The only home of typer and rich."""
