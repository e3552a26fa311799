"""Training: data sets, losses and the trainer."""
