"""Client algorithms, one file each; attacks and update processors in folders of their own."""
