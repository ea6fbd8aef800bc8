"""Trains and judges interruption models from files; the model itself is in services/pricing/domain/risk_model."""
