from . import sasrec as sasrec
