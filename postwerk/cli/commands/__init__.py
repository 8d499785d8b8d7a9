"""The operator's commands. Each file adds its options to a parser and does its work through the HTTP API."""
