"""The forwarder: answers queries of workloads from upstream servers, under policy on the query itself."""
