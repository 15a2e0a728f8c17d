"""Imported, with all of the kit, by the process that others are forked from, so that they start with it."""

import inspect

inspect.getmodule(inspect.currentframe())  # notes the file of every module: pydantic asks for it, class by class
