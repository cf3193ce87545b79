"""What is shown: tables as text, charts as SVG, and progress on the way."""
