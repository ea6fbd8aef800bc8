"""What calls the optimizer."""
