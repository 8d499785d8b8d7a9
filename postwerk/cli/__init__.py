"""The command line: `python -m postwerk`. Each command is a file, imported only when it is called."""
