"""What cuts across client algorithms, as Flower mods, one file each."""
