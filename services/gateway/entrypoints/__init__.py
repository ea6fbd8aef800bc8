"""What calls in: people over HTTP, the bus, and nats-server asking whom to let in."""
