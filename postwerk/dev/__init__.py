"""The whole of Postwerk on one machine, as child processes: `python -m postwerk dev` and `demo`."""
