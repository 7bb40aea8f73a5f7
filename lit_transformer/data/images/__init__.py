"""Images and their masks: read, checked, counted, kept, changed alike and made into batches."""
