"""Who may do what, tokens, and when a plan needs no person: plain functions on values."""
