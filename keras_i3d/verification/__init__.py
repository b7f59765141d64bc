"""Whether this installation gives the numbers that were published: `keras-i3d verify` on a machine with network."""

from keras_i3d.verification.outcomes import Check, Outcome
from keras_i3d.verification.verification_report import Verification
from keras_i3d.verification.verifying import GROUPS, verify

__all__ = ["GROUPS", "Check", "Outcome", "Verification", "verify"]
