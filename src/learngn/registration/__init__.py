"""Registration of one pair: the scans and what belongs to them, the choice of settings, and the result."""

from learngn.registration.pair import Guidance, RegistrationPair, Side
from learngn.registration.pipeline import model_of, register, register_pair
from learngn.registration.prepare import Prepared, prepare
from learngn.registration.reading import read_pair
from learngn.registration.recognise import Recognised, recognise
from learngn.registration.resolve import Request, Resolved, resolve
from learngn.registration.result import Registration

__all__ = [
    "Guidance",
    "Prepared",
    "Recognised",
    "Registration",
    "RegistrationPair",
    "Request",
    "Resolved",
    "Side",
    "model_of",
    "prepare",
    "read_pair",
    "recognise",
    "register",
    "register_pair",
    "resolve",
]
