"""Diffusion sampling as mathematics: what to ask a network, when, and what to do with the answers.

Nothing here runs a network. Guiders and samplers are generators that yield `RequestGroup`s; whoever drives them (the
batcher, a test) evaluates the requests with their `Denoiser` and sends the answers back. Terms follow Karras et al.
2022, arXiv:2206.00364.
"""
