"""The widgets of the lesson screen: each draws with Textual's Line API and repaints only what changed."""
