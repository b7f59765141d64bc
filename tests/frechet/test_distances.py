"""Distances of features: closed forms, exact values of rank-deficient covariances, SciPy, and draws."""

import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from made import ROOT

from keras_i3d import frechet
from keras_i3d.frechet import distances, gaussians
from keras_i3d.frechet.distances import (
    bootstrap,
    extrapolated,
    frechet_distance,
    from_features,
    kernel_distance,
)
from keras_i3d.frechet.gaussians import Gaussian


def gaussian(rows):
    return Gaussian(rows.shape[1]).update(rows)


def of_covariance(mean, covariance, count=1000):
    """A Gaussian of exactly these statistics, by N - 1."""
    made = Gaussian(len(mean))
    made.count, made.mean, made.scatter = count, np.float64(mean), np.float64(covariance) * (count - 1)
    return made


def pair(size, first, second, deviations=1.0, repeated=False, seed=0):
    """Rows of two sources that are not far apart."""
    draw = np.random.default_rng(seed)
    mix = draw.normal(size=(size, size))
    x = draw.normal(size=(first, size)) * deviations @ mix
    y = 1.3 * draw.normal(size=(second, size)) * deviations @ mix + 0.2
    if repeated:  # the second half of the features is the first
        x[:, size // 2 :], y[:, size // 2 :] = x[:, : size - size // 2], y[:, : size - size // 2]
    return x, y


def exact(x, y, ddof=1):
    """Of the rows themselves: the trace of the root is the sum of the singular values of X Y', X and Y centred."""
    shift = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    m, n = len(x) - ddof, len(y) - ddof
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt(m * n)
    return shift + (x**2).sum() / m + (y**2).sum() / n - 2 * root


def by_scipy(x, y, ddof=1):
    linalg = pytest.importorskip("scipy.linalg", reason="compares with SciPy")
    first, second = np.cov(x.T, ddof=ddof), np.cov(y.T, ddof=ddof)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a matrix is singular
        root = linalg.sqrtm(first @ second)
    return ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(first + second) - 2 * np.trace(root).real


RANDOM = {"small": (5, 40, 30), "wide": (60, 400, 300)}
DEFICIENT = {
    "few rows": (60, 30, 40),
    "few on one side": (60, 400, 20),
    "two rows": (20, 2, 50),
    "repeated features": (40, 400, 300, 1.0, True),
    "nearly singular": (60, 400, 300, np.logspace(0, -6, 60)),
}


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("case", {**RANDOM, **DEFICIENT})
def test_the_exact_value(case, ddof):
    x, y = pair(*{**RANDOM, **DEFICIENT}[case])
    found = frechet_distance(gaussian(x), gaussian(y), ddof)
    assert found.value == pytest.approx(exact(x, y, ddof), rel=1e-9)
    assert found.value == pytest.approx(found.mean_term + found.covariance_term, rel=1e-15)
    assert found.mean_term == pytest.approx(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum(), rel=1e-12)
    assert (found.counts, found.size, found.ddof, float(found)) == ((len(x), len(y)), x.shape[1], ddof, found.value)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("form", distances.FORMS)
@pytest.mark.parametrize("case", RANDOM)
def test_against_scipy(case, form, ddof):
    x, y = pair(*RANDOM[case])
    found = frechet_distance(gaussian(x), gaussian(y), ddof, form)
    assert found.value == pytest.approx(by_scipy(x, y, ddof), rel=1e-9)


@pytest.mark.parametrize("case", DEFICIENT)
def test_against_scipy_without_full_rank(case):
    """There SciPy takes roots of rounding errors. "scipy" errs as it does; "symmetric" is nearer to the exact value."""
    x, y = pair(*DEFICIENT[case])
    sides, theirs, truth = (gaussian(x), gaussian(y)), by_scipy(x, y), exact(x, y)
    size = np.trace(sides[0].covariance() + sides[1].covariance())
    assert frechet_distance(*sides, form="scipy").value == pytest.approx(theirs, abs=1e-6 * size)
    ours = frechet_distance(*sides).value
    assert ours == pytest.approx(theirs, abs=1e-6 * size)
    assert abs(ours - truth) <= max(abs(theirs - truth), 1e-12 * size)


def test_full_rank_takes_neither_eigenvectors_nor_scipys_road(monkeypatch):
    """Draws of 400 features are many, and those are what takes time."""
    x, y = pair(40, 400, 300)
    expected = exact(x, y)
    for name in ("eigh", "eigvals"):
        monkeypatch.setattr(np.linalg, name, None)
    for form in distances.FORMS:
        assert frechet_distance(gaussian(x), gaussian(y), form=form).value == pytest.approx(expected, rel=1e-12)


def test_as_wide_as_the_logits():
    """400 features, of 40 rows and of 60."""
    x, y = pair(400, 40, 60)
    assert from_features(x, y).value == pytest.approx(exact(x, y), rel=1e-9)


def test_one_dimension():
    """(m1 - m2)^2 + (s1 - s2)^2."""
    found = frechet_distance(of_covariance([2.0], [[9.0]]), of_covariance([-1.0], [[0.25]]))
    assert (found.value, found.mean_term, found.covariance_term) == pytest.approx((9 + 2.5**2, 9, 2.5**2), rel=1e-14)


@pytest.mark.parametrize("form", distances.FORMS)
def test_closed_forms(form):
    draw = np.random.default_rng(5)
    m, n = draw.normal(size=(2, 12))
    turn, _ = np.linalg.qr(draw.normal(size=(12, 12)))
    s, t = draw.uniform(0.1, 3, size=(2, 12))
    s[3] = t[7] = t[3] = 0  # diagonal matrices with zeros have exact roots
    diagonal = frechet_distance(of_covariance(m, np.diag(s**2)), of_covariance(n, np.diag(t**2)), form=form)
    assert diagonal.value == pytest.approx(((m - n) ** 2).sum() + ((s - t) ** 2).sum(), rel=1e-13)
    s, t = draw.uniform(0.1, 3, size=(2, 12))  # commuting: of one basis
    first, second = (turn * s**2) @ turn.T, (turn * t**2) @ turn.T
    commuting = frechet_distance(of_covariance(m, first), of_covariance(n, second), form=form)
    assert commuting.value == pytest.approx(((m - n) ** 2).sum() + ((s - t) ** 2).sum(), rel=1e-12)
    equal = frechet_distance(of_covariance(m, first), of_covariance(n, first), form=form)
    assert equal.mean_term == pytest.approx(((m - n) ** 2).sum(), rel=1e-15)
    assert abs(equal.covariance_term) < 1e-12 * np.trace(first)
    scaled = frechet_distance(of_covariance(m, first), of_covariance(m, 4 * first), form=form)
    assert scaled.value == pytest.approx(np.trace(first), rel=1e-12)  # of deviations s and 2 s


def test_n_and_n_minus_1():
    """Of equal counts the covariance term of N is (N - 1) / N of the other."""
    x, y = pair(4, 10, 10)
    by_n, unbiased = (frechet_distance(gaussian(x), gaussian(y), ddof) for ddof in ("N", "N-1"))
    assert by_n.covariance_term == pytest.approx(0.9 * unbiased.covariance_term, rel=1e-12)
    assert by_n.mean_term == unbiased.mean_term
    assert (by_n.ddof, unbiased.ddof) == (0, 1)


def test_a_single_row():
    """common-metrics: means alone. By N its covariance is zero, and the other side's trace remains."""
    x, y = pair(3, 1, 50)
    shift = ((x[0] - y.mean(axis=0)) ** 2).sum()
    found = frechet_distance(gaussian(x), gaussian(y))
    assert (found.value, found.covariance_term) == (pytest.approx(shift, rel=1e-12), 0)
    assert any("means alone" in note for note in found.notes)
    by_n = frechet_distance(gaussian(x), gaussian(y), 0)
    assert by_n.covariance_term == pytest.approx(np.trace(np.cov(y.T, ddof=0)), rel=1e-12)
    same = frechet_distance(gaussian(np.ones((8, 4))), gaussian(3 * np.ones((8, 4))))  # black against white, as it were
    assert (same.value, same.mean_term) == (16, 16)


def test_symmetric_in_its_sides_and_of_no_direction():
    x, y = pair(9, 60, 50)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(9, 9)))
    value = from_features(x, y).value
    assert from_features(y, x).value == pytest.approx(value, rel=1e-12)
    assert from_features(x @ turn + 5, y @ turn + 5).value == pytest.approx(value, rel=1e-11)


def test_refused():
    x, y = pair(4, 10, 10)
    with pytest.raises(ValueError, match="form must be one of symmetric, scipy. Received: form='svd'"):
        frechet_distance(gaussian(x), gaussian(y), form="svd")
    with pytest.raises(ValueError, match="two Gaussians of one size"):
        frechet_distance(gaussian(x), gaussian(y[:, :3]))
    with pytest.raises(ValueError, match=r"a row at least. Received: Gaussian\(size=4, count=10\) and .*count=0"):
        frechet_distance(gaussian(x), Gaussian(4))
    bad = of_covariance([0, 0, 0], np.ones((3, 3)) - 2 * np.eye(3) + np.eye(3) * 1.9)
    with pytest.raises(ValueError, match="no negative eigenvalues. Received: -0.1"):
        frechet_distance(bad, bad)


def test_features_from_files(tmp_path, capsys):
    x, y = pair(4, 30, 40)
    value = from_features(x, y).value
    np.save(tmp_path / "x.npy", x)
    gaussian(y).save(tmp_path / "y.npz")
    assert from_features(str(tmp_path / "x.npy"), tmp_path / "y.npz").value == value
    assert "The sides have 30 and 40 rows" in capsys.readouterr().err
    found = from_features(x[:3], y[:3])
    assert "3 rows are fewer than the 5" in found.notes[0]
    assert len(found.notes) == 1
    assert capsys.readouterr().err == f"keras_i3d: {found.notes[0]}\n"
    assert from_features(x[:30], y[:30]).notes == ()
    assert capsys.readouterr().err == ""


def test_features_that_are_none(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "row.npy", np.zeros(4))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "row.npy").read_bytes()[:50])
    for name in ("objects", "cut", "absent"):
        with pytest.raises(ValueError, match=rf"path of a .npy of them. Received: .*{name}.npy \("):
            from_features(tmp_path / f"{name}.npy", np.zeros((3, 4)))
    for side in (tmp_path / "row.npy", [1.0, 2.0], "x", [["a"]]):
        with pytest.raises(ValueError, match="numbers \\(N, "):
            from_features(side, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="1 of the 3 rows"):
        from_features(np.array([[0.0], [np.nan], [1.0]]), np.zeros((3, 1)))


# The kernel distance.

X = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
Y = np.array([[7, 6, 5], [4, 3, 2], [1, 1, 8], [0, 2, 5]])


def test_the_values_of_videojedi():
    """videojedi 1.1.0, degree 2, biased, coef0 0: with gamma 1 / d, and with gamma 1."""
    settings = {"degree": 2, "coef0": 0, "estimator": "biased"}
    assert kernel_distance(X, Y, gamma=1 / 3, **settings).value == pytest.approx(270.7222, abs=5e-5)
    assert kernel_distance(X, Y, **settings).value == pytest.approx(270.7222, abs=5e-5)
    assert kernel_distance(X, Y, gamma=1, **settings).value == pytest.approx(2436.5, rel=1e-14)


def test_the_kernel_by_hand():
    """Cubic, of one feature: rows 0 and 1 against 1 and 2."""
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    across = (1 + 1 + 8 + 27) / 4
    unbiased = kernel_distance(x, y)
    assert unbiased.value == pytest.approx(1 + 27 - 2 * across, rel=1e-14)
    assert (unbiased.standard_error, unbiased.block, unbiased.blocks, float(unbiased)) == (
        None,
        (2, 2),
        1,
        unbiased.value,
    )
    biased = kernel_distance(x, y, estimator="biased")
    assert biased.value == pytest.approx((1 + 1 + 1 + 8) / 4 + (8 + 27 + 27 + 125) / 4 - 2 * across, rel=1e-14)


def test_the_kernel_against_scikit_learn():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise", reason="compares with scikit-learn")
    x, y = pair(6, 50, 41)
    xx, yy, xy = (pairwise.polynomial_kernel(*sides) for sides in ((x, x), (y, y), (x, y)))
    within = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    assert kernel_distance(x, y).value == pytest.approx(within - 2 * xy.mean(), rel=1e-10)


def test_the_kernel_is_not_biased_by_few_rows():
    """Of one source the unbiased form is zero on average, the biased one is not, and falls with N."""
    draw = np.random.default_rng(0)
    found = {"unbiased": [], "biased": []}
    for _ in range(300):
        x, y = draw.normal(size=(2, 10, 4))
        for estimator, values in found.items():
            values.append(kernel_distance(x, y, estimator=estimator).value)
    error = np.std(found["unbiased"]) / 300**0.5
    assert abs(np.mean(found["unbiased"])) < 3 * error
    assert np.mean(found["biased"]) > 10 * error


def test_blocks():
    x, y = pair(3, 90, 100)
    found = kernel_distance(x, y, blocks=9, seed=1)
    assert (found.block, found.blocks, found.disjoint) == (10, 9, True)
    assert found.standard_error == pytest.approx(found.deviation / 3, rel=1e-14)
    assert kernel_distance(x, y, block=10, seed=1) == found
    assert kernel_distance(x, y, block=10, seed=2).value != found.value
    assert not kernel_distance(x, y, block=50, blocks=3).disjoint
    whole = kernel_distance(x, y, block=90, blocks=1)
    assert whole.standard_error is None
    many = kernel_distance(x, y, block=30, blocks=400)
    assert many.value == pytest.approx(kernel_distance(x, y).value, abs=4 * many.standard_error)


def test_blocks_use_every_row_once(monkeypatch):
    seen = []
    monkeypatch.setattr(distances, "_discrepancy", lambda x, y, *_: float(seen.extend(x[:, 0]) or 0))
    kernel_distance(np.arange(12.0)[:, None], np.zeros((12, 1)), blocks=3)
    assert sorted(seen) == list(range(12))


def test_tiles_of_the_kernel(monkeypatch):
    x, y = pair(3, 50, 47)
    whole = kernel_distance(x, y).value
    monkeypatch.setattr(distances, "ROWS", 7)
    assert kernel_distance(x, y).value == pytest.approx(whole, rel=1e-11)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"estimator": "u"}, "estimator must be one of unbiased, biased"),
        ({"degree": 0}, "degree must be"),
        ({"gamma": -1}, "gamma must be above 0"),
        ({"block": 4}, "block must be 2 to 3 rows"),
        ({"block": 1}, "block must be 2 to 3 rows"),
        ({"blocks": 2}, "block must be 2 to 3 rows, those of the smaller side. Received: block=1"),
        ({"blocks": 0}, "blocks must be"),
    ],
)
def test_wrong_settings_of_the_kernel(wrong, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(X, Y, **wrong)
    with pytest.raises(ValueError, match="the same features"):
        kernel_distance(X, Y[:, :2])


# Draws.


def sources(draw, count, size=4):
    return draw.normal(size=(count, size)), 1.2 * draw.normal(size=(count, size)) + 0.4


def test_a_bootstrap_interval_covers():
    """In most of 40 repetitions: the distance to expect of so many rows, the mean over repetitions."""
    draw = np.random.default_rng(7)
    found = [bootstrap(*sources(draw, 120), draws=60, seed=i, level=0.9) for i in range(40)]
    mean = np.mean([each.value for each in found])
    assert 32 <= sum(each.low <= mean <= each.high for each in found) <= 40
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.3)


def test_a_bootstrap_is_that_of_its_seed():
    x, y = sources(np.random.default_rng(0), 50)
    first, again, other = (bootstrap(x, y, draws=20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.draws, again.draws)
    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)
    assert first.low < first.value < first.high
    assert first.value == float(first) == from_features(x, y).value
    fixed = bootstrap(gaussian(x), y, draws=20, seed=3)
    assert fixed.value == first.value
    assert fixed.standard_error < first.standard_error


def test_resampling_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(gaussians, "BLOCK", 30 * 1000)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20000, 30)))
    one = bootstrap(tmp_path / "x.npy", np.ones((2, 30)), draws=2)  # whatever is imported late
    tracemalloc.start()
    again = bootstrap(tmp_path / "x.npy", np.ones((2, 30)), draws=2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again.value == one.value
    assert most < 20000 * 30 * 8 / 4


def test_extrapolated_to_infinity():
    """60 rows of 8 features are much too far apart; the line finds what infinitely many would give."""
    truth, draw = 8 * (0.4**2 + 0.2**2), np.random.default_rng(11)
    plain, line = [], []
    for seed in range(30):
        x, y = sources(draw, 60, 8)
        found = extrapolated(x, y, draws=8, seed=seed)
        plain.append(found.points[-1][1])
        line.append(found.value)
        assert found.slope > 0
    assert plain[-1] == pytest.approx(from_features(x, y).value, rel=1e-12)
    assert np.mean(plain) > truth + 6 * np.std(plain) / 30**0.5
    assert np.mean(line) == pytest.approx(truth, abs=3 * np.std(line) / 30**0.5)
    assert [size for size, *_ in found.points] == [30, 34, 38, 42, 47, 51, 55, 60]
    assert found.points[-1][2] == 0  # all rows: there is one such subset


def test_the_line(monkeypatch):
    """Of distances that are 3 + 50 / N."""
    distance = lambda a, b, *_: distances.Distance(3 + 50 / min(a.count, b.count), 0, 0, (), 1, 1, "")  # noqa: E731
    monkeypatch.setattr(distances, "frechet_distance", distance)
    x, y = sources(np.random.default_rng(0), 40)
    found = extrapolated(x, y[:30], sizes=[10, 20, 30], draws=2)
    assert (found.value, found.slope) == pytest.approx((3, 50), rel=1e-10)
    assert found.misfit < 1e-10
    assert [size for size, *_ in found.points] == [10, 20, 30]


def test_a_fixed_side_is_not_drawn_from():
    x, y = sources(np.random.default_rng(0), 40)
    found = extrapolated(gaussian(np.tile(x, (9, 1))), y, draws=2)
    assert found.points[-1][0] == 40
    assert found.points[-1][1] == frechet_distance(gaussian(np.tile(x, (9, 1))), gaussian(y)).value


def test_wrong_settings_of_draws():
    x, y = sources(np.random.default_rng(0), 40)
    for wrong, message in (
        ({"draws": 1}, "draws must be at least 2"),
        ({"level": 1.0}, "level must be between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            bootstrap(x, y, **wrong)
    for sizes in ([40], [40, 40], [1, 40], [20, 41]):
        with pytest.raises(ValueError, match="sizes must be at least two different numbers of 2 to 40 rows"):
            extrapolated(x, y, sizes=sizes)
    for draws in (bootstrap, extrapolated):
        with pytest.raises(ValueError, match="Rows are drawn from one side at least"):
            draws(gaussian(x), gaussian(y))


def test_the_names_of_the_package_need_numpy_alone():
    """But for the metric and the callback, which need Keras."""
    program = """
import sys
from keras_i3d import frechet
frechet.from_features, frechet.Gaussian, frechet.read_pickle
print(sorted({"keras", "tensorflow", "scipy", "h5py", "tqdm"} & set(sys.modules)), dir(frechet) == frechet.__all__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "['h5py'] True\n", done.stderr
    for name in frechet.__all__:
        assert getattr(frechet, name).__doc__, name
