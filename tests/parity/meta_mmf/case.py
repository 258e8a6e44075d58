"""Small problems of MetaMMF. Needs NumPy alone."""

from collections.abc import Iterator
from typing import Any

from tests.parity.common.problem import LARGER, Case, enlarged


def _cases() -> Iterator[tuple[str, Case]]:
    """The released layer, the paper's, and the one with whole tensors."""
    settings: dict[str, Any] = {"R": 2, "s_dim": 3, "widths": [7, 6, 5, 4], "gcn": True}
    three: Any = {"model": "meta_mmf", "widths": {"image": 8, "audio": 3, "text": 5}}
    wide = settings | {"R": 4, "s_dim": 2, "widths": [6, 5, 4, 3]}
    for layer in ("released", "cp", "full"):
        yield f"meta_mmf_{layer}", Case(settings=settings | {"layer": layer}, **three)
    yield "meta_mmf_cp_larger", Case(settings=wide | {"layer": "cp"}, **three, **LARGER)
    yield "meta_mmf_cp_mf", Case(settings=wide | {"layer": "cp", "gcn": False}, **three)


CASES = dict(_cases())
STARTS = {
    name: enlarged(CASES[name]) for name in ("meta_mmf_released", "meta_mmf_cp", "meta_mmf_full")
}
