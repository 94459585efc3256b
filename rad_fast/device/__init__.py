"""The kernels that serve an array: those for host memory, and those for CUDA memory."""
