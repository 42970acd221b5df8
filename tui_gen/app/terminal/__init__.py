"""Between Textual and the terminal: pixels, what is sent of a frame, and how much at a time."""
