"""File formats of data sets: CSV tables, idx, ``.ts`` series, plays."""
