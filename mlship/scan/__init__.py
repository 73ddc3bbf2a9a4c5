"""What a model would run when it is loaded, found out without loading it: pickles, skops files, archives, code."""
