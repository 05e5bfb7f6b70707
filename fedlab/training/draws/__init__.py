"""How a batch comes of inputs and targets, one file each, named after what it registers."""
