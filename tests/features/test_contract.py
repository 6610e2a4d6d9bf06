"""What every registered feature promises: a new one is tested as soon as it has a name."""

import pytest
import torch

from learngn.features import parse_features
from learngn.features.combined import FEATURES
from learngn.testing import FEATURE_RULES, check_feature


@pytest.mark.parametrize("feature", [parse_features(n) for n in [*FEATURES, "mind,intensity:10"]], ids=lambda f: f.name)
class TestContract:
    @pytest.mark.parametrize("rule", FEATURE_RULES)
    def test_rule(self, feature, rule):
        FEATURE_RULES[rule](feature, torch.device("cpu"), feature.name != "none")

    @pytest.mark.gpu
    def test_on_the_gpu(self, feature):
        check_feature(feature, device="cuda", varies=feature.name != "none")
