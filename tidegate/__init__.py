"""The program: configuration, sources, rendering, the apply loop, the command line, and the wiring of it all."""
