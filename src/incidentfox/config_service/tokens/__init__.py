"""Bearer tokens, sign-in codes, and who the caller is."""
