"""Local optimisers, one file each; a file is named after what it registers."""
