"""What every registered feature promises: a new one is tested as soon as it has a name."""

import pytest

from learngn.features import parse_features
from learngn.features.combined import FEATURES
from learngn.testing import FEATURE_RULES, check_feature


@pytest.mark.parametrize("feature", [parse_features(n) for n in [*FEATURES, "mind,intensity:10"]], ids=lambda f: f.name)
class TestContract:
    @pytest.mark.parametrize("rule", FEATURE_RULES)
    def test_rule(self, feature, rule):
        FEATURE_RULES[rule](feature, None, feature.name != "none")

    @pytest.mark.parametrize("rule", ["grid_and_layout", "awkward_shapes", "types", "device_agrees"])
    def test_rule_for_tensors(self, feature, rule):
        FEATURE_RULES[rule](feature, "cpu", feature.name != "none")

    @pytest.mark.gpu
    def test_on_the_gpu(self, feature):
        check_feature(feature, device="cuda", varies=feature.name != "none")
