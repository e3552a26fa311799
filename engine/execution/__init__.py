"""Layer 2: the executor as a pure state machine, and the artifact cache. No clock, no I/O, no torch, no asyncio."""
