"""The kernel: the values that flow, the configuration and the store. It imports nothing else of the project."""
