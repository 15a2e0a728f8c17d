"""The one exception that is printed as a sentence instead of a traceback."""


class GanzooError(Exception):
    """A mistake that the user can mend: the message says where it is and what to do next.

    `exit_code` is 2 while nothing has been trained yet and 1 once training has begun.
    """

    exit_code = 2
