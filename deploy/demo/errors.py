"""What can go wrong in a demo, in one sentence each."""


class DemoError(Exception):
    """The demo could not be carried through."""

    exit_code = 1


class DemoInputError(DemoError):
    """An input cannot be used."""

    exit_code = 2
