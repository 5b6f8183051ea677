"""One recipe a file: search, train, evaluate, restore, demo; and the command line over them."""
