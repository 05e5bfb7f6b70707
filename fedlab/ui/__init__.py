"""The live view: run folders in a browser, as they are written; it starts nothing."""
