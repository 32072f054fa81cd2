"""Names and the addresses they stand for: reads DNS answers on their way to the workloads."""
