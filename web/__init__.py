"""What a browser meets: layout, routes, the job runner, the memory monitor. Thin: the walk itself is `pipeline`'s."""
