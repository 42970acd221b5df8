"""A run as one HTML file that needs nothing else: `document` puts it together, the others are its parts."""
