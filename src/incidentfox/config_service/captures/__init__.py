"""What runs read from live telemetry, kept for their replay, and runs as recordings."""
