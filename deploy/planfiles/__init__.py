"""Readers of what people already have: kubectl and AWS CLI output, price lists as CSV."""
