"""Assets: data sets and weights, where they are found and how they are fetched."""
