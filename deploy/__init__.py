"""How the parts are put together and run: command line, roles, embedded database and broker, demo."""
