"""The `spotopt` command: one module a command."""
