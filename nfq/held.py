"""held."""
