"""Tests; this file keeps `tests/workflows`-like folders from shadowing the rooms (docs/decisions.md)."""
