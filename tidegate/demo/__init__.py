"""The demo: pods as network namespaces, a real DNS server, real TCP servers, and the agent enforcing policy."""
