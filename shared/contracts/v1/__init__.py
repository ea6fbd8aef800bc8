"""Major version 1 of every message, one module per owner; and the values several of them share."""
