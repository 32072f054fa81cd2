"""Verdicts without a kernel: probes judged by the reference semantics and by the rendered rules."""
