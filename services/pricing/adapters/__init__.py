"""What pricing calls out to. Driver errors stop here."""
