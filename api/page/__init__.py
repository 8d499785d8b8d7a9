"""The page at `/`: server-rendered, live by server-sent events, readable without JavaScript."""
