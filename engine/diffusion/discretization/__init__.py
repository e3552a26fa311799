"""Steps → noise levels, one method per file: `method(table, steps)` gives steps + 1 falling levels that end in 0."""
