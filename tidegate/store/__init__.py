"""Where resources come from: directories of files (and, when configured, a Kubernetes API server)."""
