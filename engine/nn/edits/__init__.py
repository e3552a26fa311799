"""Changes of what a network computes, one per file; they last for one forward and touch no weight."""
