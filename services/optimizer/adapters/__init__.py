"""What the optimizer calls."""
