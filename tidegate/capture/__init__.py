"""Packet capture: what workloads send and receive, in files that other tools read.

    documents, workloads, time --> plan: jobs --> recorder (a thread): taps --> rolling pcap files
    `tidegate capture ...`     --> targets ----------------------^ (in the command's own process)

Pure: `plan`, `program` (the filter that the kernel runs) and `pcap` (the bytes of a file). What is captured is what
crosses the workload's interface on the node: what it sends before policy is asked, what it receives after. Nothing in
the packet path changes, and where nobody captures nobody pays.
"""
