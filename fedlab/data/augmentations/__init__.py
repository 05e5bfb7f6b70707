"""Random changes of training batches, one file each, named after what it registers."""
