"""The guardian of an endpoint: gives all traffic back to stable when nobody watches any more.

It runs where the router runs, beside it, and imports nothing but the standard library: see docs/explanation/lease.md.
"""
