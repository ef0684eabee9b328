"""Change requests: configuration that a second pair of eyes applies."""
