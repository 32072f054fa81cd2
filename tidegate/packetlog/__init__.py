"""Records of Log rules: what a rule said of a packet, for people and programs. See `docs/design/packetlog.md`."""
