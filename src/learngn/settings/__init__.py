"""Settings of a registration: values, defaults, presets and files."""

from learngn.settings.defaults import LABEL_FEATURES, default_settings
from learngn.settings.files import read_settings, write_settings
from learngn.settings.presets import PRESETS, Preset, preset
from learngn.settings.schedule import Level, schedule
from learngn.settings.settings import BASELINES, STAINS, Robustness, Settings

__all__ = [
    "BASELINES",
    "LABEL_FEATURES",
    "PRESETS",
    "STAINS",
    "Level",
    "Preset",
    "Robustness",
    "Settings",
    "default_settings",
    "preset",
    "read_settings",
    "schedule",
    "write_settings",
]
