"""Speed and correctness on a GPU, beside goals and peers."""
