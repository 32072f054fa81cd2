"""HTTP requests, TLS hellos and Envoy: the reader of what rides on a connection."""
