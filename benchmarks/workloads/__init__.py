"""What is measured, and over what.  It knows nothing of how it is timed or shown."""
