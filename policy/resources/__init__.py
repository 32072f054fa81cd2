"""Resources as users and clusters write them, decoded into frozen values; every fault at once."""
