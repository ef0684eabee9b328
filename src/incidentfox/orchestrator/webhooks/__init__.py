"""Where webhooks enter: verified, limited, recorded and enqueued in one transaction, and only then acknowledged."""
