"""Connections that must themselves name a domain that policy allows them: reading the name, and deciding."""
