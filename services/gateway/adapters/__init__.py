"""What the gateway calls out to."""
