"""Client algorithms, one file each; ``app.py`` is the Flower ClientApp that runs them."""
