"""Log sentences and metrics."""
