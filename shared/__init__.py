"""What every service shares: kernel (pure values) < contracts (messages) < runtime (servers and clocks)."""
