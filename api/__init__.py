"""The HTTP door: requests in, answers out. app.py builds and wires it."""
