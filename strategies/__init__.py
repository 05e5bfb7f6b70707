"""Server algorithms, one file each."""
