"""Does it help: students trained on the points that each strategy picks."""
