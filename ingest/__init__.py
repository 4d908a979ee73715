"""From a message on the broker to rows in the store: decode, normalise, store, acknowledge."""
