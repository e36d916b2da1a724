"""Pictures, each a figure that is written as a file or put into a page."""
