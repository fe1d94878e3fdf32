"""Pages that are made from the code: settings, parameters, commands, problem codes, the API."""
