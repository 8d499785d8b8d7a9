"""Webhooks: events out of the archive to receivers elsewhere, signed (Standard Webhooks 1.0)."""
