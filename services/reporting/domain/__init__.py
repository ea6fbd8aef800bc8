"""What is pure: ledgers, allocation, savings, the audit chain."""
