"""Prices, their age, risk and notices, as plain functions on frozen values."""
