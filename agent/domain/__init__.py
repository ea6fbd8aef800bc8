"""Pure rules: what is published, which command may run, which pods a drain moves."""
