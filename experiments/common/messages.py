"""Which errors are messages for the user."""


def meant(error: BaseException) -> bool:
    """Whether mmjax or an experiment raised the error, as a message for the user."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return where.startswith(("mmjax.", "experiments."))
