"""Every knob once: its name, type, unit, default and reason. Pure."""
