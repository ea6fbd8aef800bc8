"""What can go wrong on this machine, each in a sentence that says what to do."""


class StackError(Exception):
    """The embedded stack cannot run."""

    exit_code = 1
