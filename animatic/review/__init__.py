"""The review page: what people look at after a run, decide on, and hand back."""
