"""The two processes, and the wiring that builds everything they need."""
