"""Atelier's engine: graph, executor, diffusion, server and worker."""
