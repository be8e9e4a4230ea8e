"""What a lab run says: how architecture, loss and size move flow, retrieval and readability in trained models."""
