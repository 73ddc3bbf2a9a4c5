"""The serving image: what goes into it, how it is built, and what is said of it."""
