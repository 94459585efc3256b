"""Kernels for CUDA tensors, written in Triton: compiled for the GPU on first use, nothing to build at install."""
