"""What calls in: messages and time."""
