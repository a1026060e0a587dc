"""Tables as values, and what they are written as: Markdown, LaTeX, CSV, Parquet."""
