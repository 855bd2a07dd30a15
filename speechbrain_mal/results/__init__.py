"""What the scores of an experiment say: tables, tests, claims, figures, a page."""
