"""What every process needs around its own code: settings, logs, database, bus, health, an ordered end."""
