"""What is wrong with a price file, in one sentence."""


class MarketDataError(Exception):
    """A price file cannot be used; the message says which line and why."""
