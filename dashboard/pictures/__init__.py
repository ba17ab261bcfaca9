"""Pictures of runs for the browser: addresses, thumbnails made once, and the routes that serve them."""
