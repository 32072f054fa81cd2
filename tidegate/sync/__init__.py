"""The apply loop: from the calculated policy to the kernel, and back when the kernel disagrees."""
