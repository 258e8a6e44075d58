"""AVG: pictures found by writing their discrete tokens; two towers beside it."""
