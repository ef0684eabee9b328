"""The ledger of model use: reserved before each model call, settled after it."""
