"""Which team owns an event: identifiers with one owner each, and the look-up (decision 002)."""
