"""What a classifier of pictures looks at, told in nuclei: see docs/explain.md."""
