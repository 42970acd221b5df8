"""The built-in datasets, a file each: what is added here is found."""
