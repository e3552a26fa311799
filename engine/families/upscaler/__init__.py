"""Networks that enlarge pictures: opening their files, running them in tiles."""
