"""A paper's table: as a value, and as LaTeX, Markdown, CSV and HTML."""
