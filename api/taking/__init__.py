"""Taking recipients in: bodies, encodings, CSV, NDJSON and JSON, and storing them chunk by chunk."""
