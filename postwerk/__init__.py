"""Postwerk's house: everything that is neither a workflow, an activity nor a door. It knows no Temporal and no HTTP."""
