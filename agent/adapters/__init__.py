"""Kubernetes, NATS and the disk."""
