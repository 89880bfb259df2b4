"""What a person looks at: figures and pages of what a run has learned."""
