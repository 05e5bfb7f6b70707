"""Does adaptation pay off? See ``__main__``."""
