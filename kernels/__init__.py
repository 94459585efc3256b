"""Kernels of rad_fast: ``reference`` says what each stage means, the other folders make it fast."""
