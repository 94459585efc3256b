"""The game over all points, wherever they are: solved exactly, from integer sums."""
