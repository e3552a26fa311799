"""Integration methods, one generator per file.

`method(x, sigmas, guide)` is a flow: it asks `guide(x, sigma)` for `denoised` and returns the latent at sigmas[-1].
Stochastic methods also take `noise(sigma, sigma_next)` and the noise `path`. Arguments are never modified.
"""
