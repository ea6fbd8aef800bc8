"""What calls in."""
