"""What is allowed: resources, selectors, tiers, and the calculation graph. Pure."""
