"""Recorded incidents that an agent investigates like a live system."""
