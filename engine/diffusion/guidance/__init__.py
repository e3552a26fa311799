"""What a model handle adds to guidance, one rule per file: before, in place of and after the plain combination."""
