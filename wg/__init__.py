"""The WireGuard workshop: keys, devices and peers."""
