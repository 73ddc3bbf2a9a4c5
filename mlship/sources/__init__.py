"""Rows in: files today; SQL and Feast later."""
