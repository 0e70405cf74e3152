"""How the embedded model in `assets/embedded/` is made, from nothing: the world, its captions, the three networks."""
