"""Built-in nodes, one module per topic. They import `engine.api` and nothing else of the engine."""
