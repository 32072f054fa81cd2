"""Netlink framing: messages, attributes and acknowledgements as bytes, and the socket that carries them."""
