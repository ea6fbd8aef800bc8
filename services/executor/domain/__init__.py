"""What to do next, decided on values alone."""
