"""A selection's report: the numbers in words, and one HTML page with its figures."""
