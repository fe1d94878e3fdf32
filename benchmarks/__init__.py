"""What decides on a change: quality and speed, measured side by side. Nothing here is imported by what it measures."""
