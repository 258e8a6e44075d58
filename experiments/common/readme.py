"""Fill what a README makes from records: ``<!-- table:NAME -->`` to ``<!-- end -->``."""

from collections.abc import Mapping


def filled(text: str, bodies: Mapping[str, str]) -> str:
    """`text` with everything between the two markers of a name replaced by its body.

    Raises:
        ValueError: a marker has no body or no end.
    """
    parts = text.split("<!-- table:")
    out = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition(" -->")
        _, end, tail = rest.partition("<!-- end -->")
        if not end or name not in bodies:
            raise ValueError(f"README.md: marker {name!r} has no end or no record in results/")
        out.append(f"{name} -->\n{bodies[name]}{end}{tail}")
    return "<!-- table:".join(out)
