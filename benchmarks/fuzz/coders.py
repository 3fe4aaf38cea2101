"""Whatever reads a coded payload, of C or of Python, makes the same of it."""

from splitwire.errors import FrameError
from splitwire.frame import MAX_ROWS, Frame
from splitwire.packing import Packing
from splitwire.plan import BoundarySpec
from splitwire.rans import CODERS, Coder, decode_symbols
from splitwire.tables import SymbolTables

__all__ = ["check_coders"]


def check_coders(frame: Frame, boundary: BoundarySpec) -> None:
    """Of a coded frame whose shape is the boundary's; others are read by none."""
    if frame.packing != Packing.CODED or boundary.tables is None or frame.shape[1:] != boundary.shape:
        return
    if 1 <= frame.shape[0] <= MAX_ROWS:
        outcomes = {_outcome(coder, frame, boundary.tables, boundary.zero) for coder in CODERS}
        assert len(outcomes) == 1, outcomes


def _outcome(coder: Coder, frame: Frame, tables: SymbolTables, zero: int) -> bytes | str:
    try:
        return decode_symbols(frame.payload, frame.shape, tables, zero, coder=coder).tobytes()
    except FrameError as error:
        return repr(error)
