"""From the store to the public: close buckets, disclose, publish through one Catalogue."""
