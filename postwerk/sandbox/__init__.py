"""The fake mail server that Postwerk brings, and its ledger."""
