"""The ledger of what a run posted where."""
