"""Planning: pure functions on kernel values."""
