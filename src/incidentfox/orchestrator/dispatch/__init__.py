"""Dispatch: claims a delivery from the durable queue; routes it, puts it on record, correlates it, starts its run."""
