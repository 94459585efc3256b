"""Of the selection that the tests of the report look at."""

N, C, BUDGET, MISTAKES = 3000, 6, 150, 40
