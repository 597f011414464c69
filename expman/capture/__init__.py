"""What the trainer records unasked."""
