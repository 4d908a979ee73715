"""Pages for people: Dutch first, English beside it; nothing comes from another site."""
