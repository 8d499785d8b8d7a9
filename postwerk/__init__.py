"""Postwerk's house: all that is neither workflow, activity nor door. It knows no Temporal and no HTTP."""
