"""What a process counts, for Prometheus: each room has its own file, docs/metrics.md has them all.

A label is a mailbox provider by name or "other", a relay, an outcome, a reason: each has some dozen values.
None is an address, a domain of a recipient, the id of a bulk send, or anything of a mail (P7).
"""
