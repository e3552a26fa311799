"""Layer 2: messages between server and worker, and the frames they travel in. No pickle."""
