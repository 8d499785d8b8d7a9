"""The calls under /v1: HTTP in, HTTP out, no decision longer than a line."""
