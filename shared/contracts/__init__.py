"""Every message on the bus: frozen models, one table of subjects, committed schemas and examples."""
