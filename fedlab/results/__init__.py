"""Reading run folders: comparison, report, drawings."""
