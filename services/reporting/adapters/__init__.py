"""What reporting calls: its schema, the bus."""
