"""The ASGI model server; imports only stats, types and errors of mlship, because it travels into the image."""
