"""Policy to nftables: endpoints, policies and sets become chains and sets. Pure."""
