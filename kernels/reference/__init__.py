"""The specification: every stage in NumPy float64 and exact integers, written to be read."""
