"""What calls in: commands, and time."""
