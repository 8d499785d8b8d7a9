"""One effect each, in named steps; an outcome becomes a report, or the error that says when again."""
