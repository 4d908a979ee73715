"""The commands of `citybroker`, one file per noun. They import what they run only when they run it."""
