"""Classification of texts by topic."""
