"""A message as bytes: templates, headers, MIME. No network, no archive."""
