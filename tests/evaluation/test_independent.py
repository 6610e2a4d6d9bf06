"""Our scores against the challenge's published definitions, written down anew from NumPy and SciPy: to 1e-6.

Nothing of LearnGN is called in the first half of this file. It reads displacement and label files as they lie on the
disk, loops where the challenge's script loops, and counts in float64. Only the areas of surface elements, a table of
256 numbers, come from the library that the challenge takes them from.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import correlate, distance_transform_edt, map_coordinates
from scipy.stats import ranksums
from surface_distance import lookup_tables

AREAS = np.asarray(lookup_tables.create_table_neighbour_code_to_surface_area((1, 1, 1)))


def displacement_of(path: Path) -> np.ndarray:
    """(H, W, D, 3), voxels."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return archive[archive.files[0]].astype(np.float32).astype(np.float64)
    return nibabel.load(path).get_fdata()


def sdlogj(u: np.ndarray, mask: np.ndarray | None = None) -> float:
    jacobian = np.empty((*u.shape[:3], 3, 3))
    for component, axis in itertools.product(range(3), range(3)):
        kernel = np.array([-0.5, 0, 0.5]).reshape([-1 if a == axis else 1 for a in range(3)])
        gradient = correlate(u[..., component], kernel, mode="constant", cval=0.0)
        jacobian[..., component, axis] = gradient + (component == axis)
    inner = (slice(2, -2),) * 3
    values = np.log((np.linalg.det(jacobian[inner]) + 3).clip(1e-9, 1e9))
    return float(values.std() if mask is None else np.ma.MaskedArray(values, 1 - mask[inner]).std())


def warp(moving: np.ndarray, u: np.ndarray) -> np.ndarray:
    identity = np.meshgrid(*[np.arange(n) for n in u.shape[:3]], indexing="ij")
    return map_coordinates(moving, identity + u.transpose(3, 0, 1, 2), order=0)


def surface(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the corner after each voxel lies on the surface, and the area there."""
    weights = (2.0 ** np.arange(8)[::-1]).reshape(2, 2, 2)
    # The voxels before the corner and the corner's own, as the library aligns them.
    code = correlate(mask.astype(np.float64), weights, mode="constant", cval=0.0, origin=0).astype(int)
    return (code != 0) & (code != 255), AREAS[code]


def hd95(fixed: np.ndarray, warped: np.ndarray) -> float:
    box = np.argwhere(fixed | warped)
    low, high = box.min(axis=0), box.max(axis=0) + 1
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    (border_a, area_a), (border_b, area_b) = (surface(np.pad(m[crop], 1)) for m in (fixed, warped))
    if not border_b.any():
        return np.inf
    found = []
    for source, area, target in ((border_a, area_a, border_b), (border_b, area_b, border_a)):
        distances, weights = distance_transform_edt(~target)[source], area[source]
        ordered = sorted(zip(distances.tolist(), weights.tolist(), strict=True))
        share = np.cumsum([w for _, w in ordered]) / sum(w for _, w in ordered)
        found.append(ordered[min(int(np.searchsorted(share, 0.95)), len(ordered) - 1)][0])
    return max(found)


def by_label(fixed: np.ndarray, moving: np.ndarray, u: np.ndarray, labels: list[int]) -> tuple[list, list, list]:
    """Dice, HD95 and the Dice before, NaN where a scan lacks the label."""
    warped, start = warp(moving, u), warp(moving, np.zeros_like(u))
    rows = []
    for label in labels:
        f, m, w, s = (array == label for array in (fixed, moving, warped, start))
        if not f.any() or not m.any():
            rows.append((np.nan, np.nan, np.nan))
            continue
        before = 2 * (f & s).sum() / (f.sum() + s.sum())
        rows.append((2 * (f & w).sum() / (f.sum() + w.sum()), hd95(f, w), before))
    return tuple(map(list, zip(*rows, strict=True)))


def tre(u: np.ndarray, fixed: np.ndarray, moving: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    moved = np.stack([map_coordinates(u[..., c], fixed.T) for c in range(3)], axis=1)
    return np.sqrt((((fixed + moved - moving) * spacing) ** 2).sum(axis=1))


def score_pair(root: Path, pair: dict, field: Path) -> dict:
    """All the numbers of one pair of a data set's description, from files alone."""
    u = displacement_of(field)
    labels = [np.asarray(nibabel.load(root / pair[s].replace("images", "labels")).dataobj) for s in ("fixed", "moving")]
    values = sorted(int(v) for v in np.union1d(*labels) if v)
    mask = root / pair["fixed"].replace("images", "masks")
    result = {"sdlogj": sdlogj(u, nibabel.load(mask).get_fdata() if mask.is_file() else None)}
    result["dice"], result["hd95"], result["dice_before"] = by_label(*labels, u, values)
    points = [root / pair[s].replace("images", "landmarks").replace(".nii.gz", ".csv") for s in ("fixed", "moving")]
    if points[0].is_file():
        first, second = (np.loadtxt(path, delimiter=",") for path in points)
        spacing = np.array(nibabel.load(root / pair["moving"]).header.get_zooms()[:3])
        result["tre"] = tre(u, first, second, spacing)
        result["tre_before"] = tre(np.zeros_like(u), first, second, spacing)
    return result


def thirty(results: list[dict]) -> dict[str, float]:
    """Both meanings: the quantile over cases of the script, the hardest 30 % of the rankings."""
    found = {
        "dice_mean": np.quantile([np.nanmean(r["dice"]) for r in results], 0.3),
        "hd95_mean": np.quantile([np.nanmean(r["hd95"]) for r in results], 0.3),
        "sdlogj": np.quantile([r["sdlogj"] for r in results], 0.7),
    }
    dice, before = (np.concatenate([r[key] for r in results]) for key in ("dice", "dice_before"))
    known = ~np.isnan(dice)
    dice, before = dice[known], before[known]
    found["dice_hardest"] = dice[np.argsort(before, kind="stable")[: round(0.3 * len(dice))]].mean()
    if "tre" in results[0]:
        found["tre"] = np.quantile([r["tre"].mean() for r in results], 0.7)
        chosen = [r["tre"][np.argsort(-r["tre_before"], kind="stable")[: round(0.3 * len(r["tre"]))]] for r in results]
        found["tre_hardest"] = np.concatenate(chosen).mean()
    return found


def rank_scores(entries: np.ndarray) -> np.ndarray:
    """Scores .1 to 1 of methods, by significant losses; `entries` (N, E), higher is better."""
    n = len(entries)
    losses = np.zeros(n, dtype=int)
    for i, j in itertools.permutations(range(n), 2):
        statistic, p = ranksums(entries[i], entries[j])
        losses[j] += statistic > 0 and p < 0.05
    scale, order = np.linspace(0.1, 1, n), np.argsort(-losses)
    return np.array([np.mean([scale[p] for p in range(n) if losses[order[p]] == losses[i]]) for i in range(n)])


# ---------------------------------------------------------------------------------------------------------------------
# From here on LearnGN is called, and compared.


def largest_difference(root: Path, description: dict, folder: Path) -> float:
    """The largest absolute difference between both scorings, over all numbers of all pairs, and of their summary."""
    from learngn.evaluation import score_dataset, summarise
    from learngn.io import read_dataset

    scored = score_dataset(read_dataset(root), folder)
    assert all(pair.error is None for pair in scored), [pair.error for pair in scored]
    results, differences = [], []
    for pair, ours in zip(description["registration_val"], scored, strict=True):
        ids = [Path(pair[side]).name.split("_")[-2] for side in ("fixed", "moving")]
        theirs = score_pair(root, pair, next(folder.glob(f"disp_{ids[0]}_{ids[1]}.*")))
        results.append(theirs)
        for key in ("dice", "hd95", "dice_before"):
            mine = np.array([value for _, value in sorted(getattr(ours, key).items())])
            np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(theirs[key]))
            known = np.isfinite(mine)
            differences.append(np.abs(mine[known] - np.array(theirs[key])[known]).max())
        differences.append(abs(ours.sdlogj - theirs["sdlogj"]))
        for key in ("tre", "tre_before"):
            if key in theirs:
                mine = np.array(getattr(ours, key.replace("tre", "tre_landmarks")))
                differences.append(np.abs(mine - theirs[key]).max())
    summary = summarise(scored, np.random.default_rng(0))
    for key, value in thirty(results).items():
        mine = getattr(summary, key) if "hardest" in key else summary.case_quantiles[key]
        differences.append(abs(mine - value) if np.isfinite(value) else 0.0 if mine == value else np.inf)
    return float(max(differences))


@pytest.fixture(scope="module")
def hippocampi(tmp_path_factory):
    """Three pairs of the Hippocampus set, with a mask and landmarks of our making, and registrations of them."""
    import os

    import learngn
    from learngn.io import read_dataset, write_learn2reg

    source = Path(os.environ["LEARNGN_TEST_DATA"]) / "HippocampusMR"
    root = tmp_path_factory.mktemp("hippocampi")
    description = json.loads((source / "HippocampusMR_dataset.json").read_text())
    pairs = description["registration_val"] = description["registration_val"][:3]
    description["training"] = []
    (root / "Hippocampus_dataset.json").write_text(json.dumps(description))
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).symlink_to(source / folder)
    for folder in ("landmarksTr", "masksTr"):
        (root / folder).mkdir()
    rng = np.random.default_rng(5)
    for name in {pair[side] for pair in pairs for side in ("fixed", "moving")}:
        shape = nibabel.load(source / name).shape
        points = rng.uniform(4, np.array(shape) - 5, size=(40, 3))
        np.savetxt(root / name.replace("images", "landmarks").replace(".nii.gz", ".csv"), points, "%.3f", ",")
    first = nibabel.load(source / pairs[0]["fixed"])
    mask = nibabel.Nifti1Image((np.asarray(first.dataobj) > 300).astype(np.uint8), first.affine)
    nibabel.save(mask, root / pairs[0]["fixed"].replace("images", "masks"))
    folders = {}
    for method, lam in (("soft", 0.2), ("stiff", 20.0)):
        folders[method] = root / method
        folders[method].mkdir()
        settings = learngn.Settings("intensity", False, (4, 2), (4, 4), (lam, lam))
        for pair in read_dataset(root).validation:
            found = learngn.register(pair.fixed.image, pair.moving.image, settings=settings)
            path = folders[method] / pair.field_name
            write_learn2reg(found.transform, path, found.fixed.grid, found.moving.grid)
    return root, description, folders


@pytest.mark.data
@pytest.mark.parametrize("method", ["soft", "stiff"])
@pytest.mark.slow
def test_every_number_of_real_fields(hippocampi, method):
    root, description, folders = hippocampi
    assert largest_difference(root, description, folders[method]) < 1e-6


@pytest.mark.data
def test_the_ranking_of_real_methods(hippocampi):
    from learngn.evaluation import rank, score_dataset
    from learngn.io import read_dataset

    root, description, folders = hippocampi
    ranking = rank({name: score_dataset(read_dataset(root), folder) for name, folder in folders.items()})
    results = [
        [score_pair(root, pair, folder / pair_name(pair)) for pair in description["registration_val"]]
        for folder in folders.values()
    ]
    dice, before, distance = (
        np.array([np.concatenate([r[key] for r in of]) for of in results]) for key in ("dice", "dice_before", "hd95")
    )
    hard = np.argsort(before[0], kind="stable")[: round(0.3 * before.shape[1])]
    errors = np.array([[r["tre"] for r in of] for of in results])
    start = np.array([r["tre_before"] for r in results[0]])
    worst = [np.argsort(-case, kind="stable")[:12] for case in start]
    errors30 = np.array([[case[chosen] for case, chosen in zip(of, worst, strict=True)] for of in errors])
    expected = [
        rank_scores(dice),
        rank_scores(dice[:, hard]),
        rank_scores(-np.where(np.isfinite(distance), distance, 10.0)),
        rank_scores(-errors.reshape(2, -1)),
        rank_scores(-errors30.reshape(2, -1)),
        rank_scores(-np.array([[r["sdlogj"] for r in of] for of in results])),
    ]
    assert ranking.metrics == ("dice", "dice30", "hd95", "tre", "tre30", "sdlogj")
    np.testing.assert_allclose(ranking.scores, np.stack(expected, axis=1), atol=1e-12)
    np.testing.assert_allclose(ranking.overall, np.prod(expected, axis=0) ** (1 / 6), atol=1e-12)


def pair_name(pair: dict) -> str:
    return "disp_{}_{}.nii.gz".format(*(Path(pair[side]).name.split("_")[-2] for side in ("fixed", "moving")))


def test_ranking_of_many_methods_with_ties():
    """Against the loops above, on methods of which some are alike."""
    from learngn.evaluation.ranking import count, score_of_losses

    rng = np.random.default_rng(3)
    entries = rng.normal(size=(6, 60)) + np.array([0, 0.1, 0.1, 1, 1.05, -2])[:, None]
    wins, losses = count(entries, higher_is_better=True)
    assert wins.sum() == losses.sum() > 8
    np.testing.assert_allclose(score_of_losses(losses), rank_scores(entries), atol=1e-12)
    turned = count(-entries, higher_is_better=False)
    np.testing.assert_array_equal(turned[1], losses)
    assert len(set(losses.tolist())) < len(losses), "there are ties"
