"""What calls into pricing: messages, and the clock."""
