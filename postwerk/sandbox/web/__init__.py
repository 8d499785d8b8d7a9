"""The HTTP door of the sandbox: pages for people, calls for tests."""
