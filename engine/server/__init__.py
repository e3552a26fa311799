"""Layer 3: the web process. Keeps jobs, workers, events and assets; never imports torch or numpy."""
