"""The queue workshop: packets that the kernel holds or logs for user space."""
