"""Mechanisms without a business noun. FLOOR 2: imports contracts only; everything above may use it."""
