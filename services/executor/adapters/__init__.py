"""What is called out to; driver errors stop here."""
