"""Sets of metrics, one file each, named after what it registers. Of libraries, torch."""
