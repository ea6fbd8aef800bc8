"""The embedded stack: Postgres and nats-server from wheels, every service a child process of its own."""
