"""The nftables workshop: tables as values, transactions, set elements, and a simulator."""
