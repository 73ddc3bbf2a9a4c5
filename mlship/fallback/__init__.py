"""The program that answers when no model does: by a rule, or by keeping the request until a model answers again.

It travels light, as `mlship.serving` does: of mlship it imports only `types` and `errors`.
"""
