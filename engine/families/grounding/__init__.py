"""Networks that put phrases at places in the picture of a U-Net: GLIGEN."""
