"""The claims of InfoBridge: every file here is one, and is called as it.

Nothing else belongs here; what two claims share is in `pnpfuse.ledger.measures`.
"""
