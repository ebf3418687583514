"""The one async loop: submit, poll, reconcile, recover."""
