"""Signing a browser in and out, and who the caller is."""
