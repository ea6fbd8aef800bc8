"""What capacity costs in the sandbox: recorded prices replayed, or simulated ones."""
