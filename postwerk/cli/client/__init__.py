"""What the operator's commands share: the way to the API and to the terminal."""
