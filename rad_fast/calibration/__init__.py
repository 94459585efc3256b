"""How likely a teacher's label is right: learned from labelled points, and from what points alike are labelled."""

from .calibrator import Calibrator, Seen, rule_of
from .neighbours import agreement

__all__ = ["Calibrator", "Seen", "agreement", "rule_of"]
