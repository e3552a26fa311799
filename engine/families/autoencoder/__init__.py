"""The VAE handles shared by families: the KL autoencoder and the tiny one, whole or in tiles, and their files."""
