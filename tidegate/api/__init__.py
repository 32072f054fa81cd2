"""The local API: what the agent knows, over a Unix socket."""
