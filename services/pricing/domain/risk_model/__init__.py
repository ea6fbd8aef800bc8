"""P(an instance of this pool that runs now is interrupted within h), learnt from recorded pools and measured.

Pure: numpy and scikit-learn on values. Reading traces, training runs and model files are in `deploy/risk`.
"""
