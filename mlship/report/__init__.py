"""Results as text, JSON and Markdown: one file each, one table."""
