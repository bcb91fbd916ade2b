"""The page of demos/explore.py in a real browser: its numbers held to vae_np's and to grids in float64, its parts used.

Where no Chromium, no driver of it or no selenium is installed, the tests that need them are skipped, and say so.
"""

from support import common, data

import importlib.util
import json
import os
import re
import shutil
import tempfile
import time
import types
import zlib
from pathlib import Path

import autograd.numpy as anp
import explore
import numpy as np
import pytest
from scipy.special import logsumexp

import vae_np
from vae_np import dense, heads, relu, sequential
from vae_np.tools import checkpoint

BROWSER, DRIVER = (next(filter(None, map(shutil.which, names)), None)
                   for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)))
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
SEVEN = [(-0.5, 0.6), (0.4, 0.6), (0.1, -0.1), (-0.1, -0.8)]  # from −1 to 1, upwards
encoder = sequential(dense(784, 256), relu, heads(dense(256, 2), dense(256, 2)))
decoder = sequential(dense(2, 256), relu, dense(256, 784))
likelihood = vae_np.bernoulli_likelihood(decoder)
model = vae_np.vae(vae_np.gaussian_posterior(encoder), likelihood)


def write_run(folder, params, path="", sets=None, **options):
    """A run as demos/mnist.py saves it, as far as the page needs it."""
    x_train, _, x_test, _ = data.load(path or None) if sets is None else sets
    folder.mkdir()
    checkpoint.save(folder / "checkpoint.npz", {
        "params": params, "options": {"latent_dim": 2, "binarize": "none", **options}, "history": [(1, 0.0)],
        "data": {"path": str(path), "train": [len(x_train), x_train[0].size], "test": [len(x_test), x_test[0].size],
                 "crc32": zlib.crc32(x_test, zlib.crc32(x_train))}})
    return folder


def call(capsys, *argv):
    """explore.py in this process: status, and the lines of stdout and stderr."""
    status = 0
    try:
        common.run(explore.main, explore.parser(), [*map(str, argv)])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    return types.SimpleNamespace(status=status, out=out.splitlines(), err=err.splitlines())


@pytest.fixture(scope="module")
def sets():
    return data.load()


@pytest.fixture(scope="module")
def params(sets):
    """The post's model after 250 steps."""
    init, order, noise, _ = common.streams(0)
    loss = lambda params, x, eps: anp.mean(model.apply(params, x, eps))
    batches = vae_np.minibatches(order, sets[0].reshape(-1, 784)[:25000], 100)
    *_, state = vae_np.train(loss, model.init(init), batches, vae_np.gaussian_noise(noise, 2), vae_np.rmsprop(1e-3))
    return state.params


def stretched(params, c=5, shift=(3.5, -2.5)):
    """The same model with its plane shrunk by c and moved: its posteriors are narrower, and far from the prior."""
    phi, theta = ([*part] for part in (params["phi"], params["theta"]))
    (mu, log_var), first = phi[2], theta[0]
    phi[2] = [{"W": mu["W"] / c, "b": mu["b"] / c + np.float32(shift)},
              {"W": log_var["W"], "b": log_var["b"] - np.float32(2 * np.log(c))}]
    theta[0] = {"W": first["W"] * c, "b": first["b"] - np.float32(shift) @ first["W"] * c}
    return {"phi": phi, "theta": theta}


@pytest.fixture(scope="module")
def pages(params, sets, tmp_path_factory):
    """{name: (page, params, images)}: the post's model, of narrow posteriors, of 8 × 8 pixels and two layers."""
    folder, rng = tmp_path_factory.mktemp("explore"), np.random.default_rng(0)
    small = folder / "small.npz"
    np.savez(small, x_train=rng.integers(0, 256, (30, 8, 8)).astype(np.uint8),
             x_test=rng.integers(0, 256, (12, 8, 8)).astype(np.uint8))
    layers = sequential(dense(64, 20), relu, dense(20, 9), relu, heads(dense(9, 2), dense(9, 2)))
    back = sequential(dense(2, 9), relu, dense(9, 20), relu, dense(20, 64))
    deep = {"phi": layers.init(rng), "theta": back.init(rng)}
    found = {}
    for name, p, path in (("post", params, ""), ("narrow", stretched(params), ""), ("small", deep, small)):
        run = write_run(folder / name, p, path, None if path else sets)
        common.run(explore.main, explore.parser(), ["--run", str(run), "--out", str(folder / name), "--no-open"])
        x = data.load(path)[2] if path else sets[2]
        found[name] = folder / name / "explore.html", p, vae_np.gray(x.reshape(len(x), -1))
    return found


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, its window 1200 × 1000."""
    missing = [what for what, there in (("Chromium", BROWSER), ("chromedriver", DRIVER),
                                        ("selenium (extra 'test')", importlib.util.find_spec("selenium"))) if not there]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1200,1000"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        yield driver
        driver.quit()


@pytest.fixture
def page(browser, pages):
    """The post's page, opened anew. After the test: no message in the console, no request but for the page."""
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(pages["post"][0].as_uri())
    yield browser
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert requests and all(url.startswith(("file://", "data:")) for url in requests), requests


def ask(browser, function, *arguments):
    """window.vae's answer."""
    return browser.execute_script(f"return vae.{function}(...arguments)", *(np.asarray(a).tolist() for a in arguments))


def text(browser, id):
    return browser.execute_script("return document.getElementById(arguments[0]).textContent", id)


def numbers(browser, id):
    return [float(n.replace("−", "-")) for n in re.findall(r"−?\d+\.\d+", text(browser, id))]


def pixels(browser, id):
    return np.array(browser.execute_script(
        "const c = document.getElementById(arguments[0]);"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 == 0)", id))


def stroke(browser, id, points, kind="mouse"):
    """Press, move along the points (from −1 to 1, upwards) and let go."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    element = browser.find_element("id", id)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    half = element.rect["width"] / 2 - 1
    kind_of_pointer = "touch" if kind == "touch" else "mouse"
    chain = ActionChains(browser, duration=20, devices=[PointerInput(kind_of_pointer, kind_of_pointer)])
    pointer = chain.w3c_actions.pointer_action
    for i, (a, b) in enumerate(points):
        pointer.move_to(element, round(a * half), round(-b * half))
        if i == 0 and kind != "hover":
            pointer.pointer_down()
    if kind != "hover":
        pointer.pointer_up()
    chain.perform()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def lattice(a):
    return np.stack(np.meshgrid(a, a), axis=-1).reshape(-1, 2)


def by_grids(theta, images, points=1000):
    """For each image: log p(x) in nats, and the z and log p(x, z) of a grid that carries it. In float64, by vae_np.

    First on ±6.5 in steps of 0.1; the cells within 60 nats of the maximum are then divided into some `points` parts.
    """
    def log_joint(theta, z, x):
        logits = decoder.apply(theta, z)
        prior = np.sum(z**2, axis=-1) / 2 + np.log(2 * np.pi)
        return x @ logits.T - np.sum(vae_np.softplus(logits), axis=-1) - prior

    z, exact = lattice(np.arange(-6.5, 6.55, 0.1)), vae_np.astype(theta, np.float64)
    every = np.hstack([log_joint(theta, z[i:i + 1000], images) for i in range(0, len(z), 1000)])  # float32
    for x, coarse in zip(images.astype(np.float64), every):
        cells = z[coarse > coarse.max() - 60]
        parts = int(np.ceil(np.sqrt(points / len(cells))))
        nodes = (cells[:, None] + lattice((np.arange(parts) - (parts - 1) / 2) * 0.1 / parts)).reshape(-1, 2)
        fine = log_joint(exact, nodes, x)
        yield logsumexp(fine) + 2 * np.log(0.1 / parts), nodes, fine


@pytest.mark.parametrize("name", ["post", "narrow", "small"])
def test_its_formulas_are_those_of_vae_np(browser, pages, name):
    path, params, x = pages[name]
    enc, dec = (encoder, decoder) if name != "small" else (
        sequential(dense(64, 20), relu, dense(20, 9), relu, heads(dense(9, 2), dense(9, 2))),
        sequential(dense(2, 9), relu, dense(9, 20), relu, dense(20, 64)))
    browser.get(path.as_uri())
    x = x[:: max(1, len(x) // 20)][:20]
    eps = np.random.default_rng(1).standard_normal((len(x), 2))
    for p, rtol in ((params, 2e-5), (vae_np.astype(params, np.float64), 1e-9)):  # float32's rounding, and next to none
        mu, log_var = enc.apply(p["phi"], x)
        z = vae_np.location_scale(mu, log_var, eps)
        logits = dec.apply(p["theta"], z)
        for i in range(len(x)):
            q, terms = ask(browser, "encode", x[i]), ask(browser, "nelbo", x[i], eps[i])
            close = {"rtol": rtol, "atol": rtol}
            np.testing.assert_allclose([q["mu"], q["logVar"]], [mu[i], log_var[i]], **close)
            np.testing.assert_allclose(ask(browser, "decode", z[i]), vae_np.sigmoid(logits[i]), **close)
            np.testing.assert_allclose(terms["nll"], vae_np.bernoulli_nll(x[i], logits[i]), **close)
            np.testing.assert_allclose(terms["kl"], vae_np.gaussian_kl(mu[i], log_var[i]), **close)


@pytest.mark.parametrize("name, count", [("post", 8), ("narrow", 3)])
def test_log_p_is_exact_to_a_hundredth_of_a_nat(browser, pages, name, count):
    path, params, x = pages[name]
    browser.get(path.as_uri())
    x = x[7::len(x) // count][:count]
    mu, log_var = encoder.apply(params["phi"], x)
    if name == "narrow":
        assert np.exp(0.5 * log_var).max() < 0.1 and np.hypot(*mu.T).min() > 3
    exact = [log_p for log_p, _, _ in by_grids(params["theta"], x)]
    np.testing.assert_allclose([ask(browser, "logLikelihood", image) for image in x], exact, rtol=0, atol=0.01)


def test_log_p_is_what_log_likelihood_estimates(browser, pages):
    path, params, x = pages["post"]
    browser.get(path.as_uri())
    noise = vae_np.gaussian_noise(np.random.default_rng(2), 2)
    parts = np.array([vae_np.log_likelihood(model, params, x[:3], noise, k=500) for _ in range(10)])
    error = parts.std(axis=0, ddof=1) / np.sqrt(len(parts))
    ours = [ask(browser, "logLikelihood", image) for image in x[:3]]
    assert (np.abs(ours - parts.mean(axis=0)) < 4 * error + 0.01).all()


def test_the_table_adds_up_and_the_gap_is_the_divergence_from_the_exact_posterior(page, pages):
    _, params, x = pages["post"]
    until(lambda: "gap" in text(page, "summary"))
    (nll,), (kl,), (total,), (nelbo,), (nlp,), (gap,) = (numbers(page, id) for id in (
        "nll", "kl", "sum", "nelbo", "nlp", "gap"))
    mean, error = numbers(page, "mean")
    assert abs(total - nll - kl) < 0.011 and abs(nelbo - nlp - gap) < 0.011 and abs(mean - nelbo) < 5 * error + 0.01
    mu, log_var = encoder.apply(params["phi"], x[:1])
    log_p, z, log_joint = next(by_grids(params["theta"], x[:1], points=20000))
    log_q = -vae_np.gaussian_nll(z, mu, log_var)
    cell = np.exp(log_p - logsumexp(log_joint))
    assert abs(gap - cell * np.sum(np.exp(log_q) * (log_q - log_joint + log_p))) < 0.02
    assert all("nats" in text(page, id) for id in ("nll", "kl", "sum", "mean", "nelbo", "nlp", "gap"))


def test_hovering_changes_the_picture_within_a_frame(page, pages):
    _, params, _ = pages["post"]
    before = pixels(page, "pointed")
    until(lambda: "gap" in text(page, "summary"))
    stroke(page, "plane", [(0.7 * np.cos(t), 0.7 * np.sin(t)) for t in np.linspace(0, 6, 40)], kind="hover")
    z = np.array([numbers(page, "at")], np.float32)
    expected = 255 * vae_np.sigmoid(decoder.apply(params["theta"], z))[0]
    after = pixels(page, "pointed")
    assert np.abs(after - before).max() > 20 and np.abs(after - expected).max() < 6  # z is shown to two digits
    latency = page.execute_script("return vae.latency()")
    assert f"{latency:.1f} ms" in text(page, "latency")
    for _ in range(9):  # other tests may hold both cores for a while
        if latency < 16:
            break
        stroke(page, "plane", [(0.7 * np.cos(t), 0.7 * np.sin(t)) for t in np.linspace(0, 6, 40)], kind="hover")
        latency = page.execute_script("return vae.latency()")
    print(f"pointer to picture: {latency:.1f} ms")
    assert latency < 16


def ellipses(page, id):
    return page.execute_script("return [...document.querySelectorAll(`#${arguments[0]} ellipse.q`)].map(e =>"
                               "['cx', 'cy', 'rx', 'ry'].map(name => +e.getAttribute(name)))", id)


def test_drawing_moves_the_ellipse_and_is_centred_as_mnist_is(page):
    before, chosen = ellipses(page, "means"), text(page, "name")
    stroke(page, "pad", SEVEN)
    drawn = ellipses(page, "means")
    assert len(drawn) == 2 and drawn != before and text(page, "name") == "x: your drawing"
    np.testing.assert_allclose(np.array(drawn[1][2:]) / drawn[0][2:], 2)  # one and two standard deviations
    x = pixels(page, "x").reshape(28, 28)
    rows, columns = (np.nonzero(x.sum(axis=axis))[0] for axis in (1, 0))
    assert np.ptp(rows) + 1 in (20, 21, 22) and np.ptp(columns) < 20 and len(np.unique(x)) > 20  # antialiased
    for axis, size in ((1, 28), (0, 28)):
        assert abs(np.average(np.arange(size) + 0.5, weights=x.sum(axis=axis)) - 14) < 0.3
    stroke(page, "pad", [(-0.2, -0.2), (0.5, -0.2)])
    crossed = ellipses(page, "means")
    page.find_element("id", "undo").click()
    assert crossed != drawn and ellipses(page, "means") == drawn
    page.find_element("id", "clear").click()
    assert ellipses(page, "means") == before and text(page, "name") == chosen


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_dragging_epsilon_moves_z(page, kind):
    picture, z = pixels(page, "at-z"), numbers(page, "z")
    stroke(page, "pad-eps", [(0, 0), (0.3, 0.2), (-0.5, 0.6)], kind)
    eps, mu, log_var, moved = (np.array(numbers(page, id)) for id in ("eps", "mu", "log-var", "z"))
    np.testing.assert_allclose(eps, [-0.5 * 3.5, 0.6 * 3.5], atol=0.1)
    np.testing.assert_allclose(moved, mu + np.exp(log_var / 2) * eps, atol=0.005)
    assert list(moved) != z and (pixels(page, "at-z") != picture).any()
    page.find_element("id", "draw").click()
    assert numbers(page, "eps") != list(eps) and numbers(page, "z") != list(moved)


def test_the_keyboard_does_all_that(page):
    from selenium.webdriver.common.keys import Keys

    plane, pad_eps, pad = (page.find_element("id", id) for id in ("plane", "pad-eps", "pad"))
    plane.send_keys(Keys.ARROW_RIGHT * 3 + Keys.ARROW_UP + Keys.SHIFT + Keys.ARROW_DOWN)
    assert numbers(page, "at") == [0.3, 0.09] and "0.30" in plane.get_attribute("aria-valuetext")
    before = text(page, "name")
    plane.send_keys(Keys.ENTER)
    assert text(page, "name") != before and text(page, "name")[3:] in plane.get_attribute("aria-valuetext")
    pad_eps.send_keys(Keys.ARROW_LEFT * 2)
    assert numbers(page, "eps") == [0.8, -0.5] and "z =" in pad_eps.get_attribute("aria-valuetext")
    pad.send_keys(Keys.SPACE + Keys.ARROW_DOWN * 5)
    assert "drawing" in text(page, "name") and text(page, "pen") == "The pen is down."
    for button in page.find_elements("css selector", "button"):
        button.send_keys(Keys.SPACE)
        assert page.switch_to.active_element == button


def test_a_label_button_takes_the_next_image_of_that_label(page, sets):
    for _ in range(2):
        page.find_element("xpath", "//button[text()='4']").click()
        number, label = map(int, re.findall(r"image (\d+) .* (\d)$", text(page, "name"))[0])
        assert label == 4 == sets[3][number - 1]
        np.testing.assert_array_equal(pixels(page, "x"), sets[2][number - 1].reshape(-1))
    page.find_element("id", "cut").click()
    np.testing.assert_array_equal(pixels(page, "x"), 255 * (sets[2][number - 1].reshape(-1) > 127))
    assert text(page, "kind") == "binary"


def test_it_fits_a_narrow_screen_and_follows_the_colour_scheme(page):
    back = lambda: page.execute_script("return getComputedStyle(document.body).backgroundColor")
    size = {"width": 360, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    light = back()
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    assert back() != light and page.execute_script("return document.documentElement.scrollWidth") <= 360
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_wrong_pixels_are_refused(page):
    from selenium.common.exceptions import JavascriptException

    for wrong in (np.zeros(783), np.full(784, 1.5), np.full(784, -1)):
        with pytest.raises(JavascriptException, match="expected 784 numbers from 0 to 1"):
            ask(page, "encode", wrong)


def test_the_page_is_whole_small_and_names_functions_that_exist(pages):
    page = pages["post"][0]
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size <= 3e6 and "{{" not in html and not re.search(r"https?://|src=|@import", html)
    template = Path(explore.TEMPLATE).read_text(encoding="utf-8")
    assert set(re.findall(r'aria-(?:labelled|described)by="([\w-]+)"', html)) <= set(re.findall(r'id="([\w-]+)"', html))
    named = set(re.findall(r"<code>(\w+)", template)) - {"encoder"}
    assert {"bernoulli_nll", "gaussian_kl", "location_scale", "log_likelihood"} <= named <= set(vae_np.__all__)


def test_without_a_run_it_names_the_command_that_makes_one(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(capsys)
    assert done.status == 2 and done.err[0].endswith("no such file; python demos/mnist.py makes it")
    done = call(capsys, "--run", "my runs/a")
    assert done.status == 2 and done.err[0].endswith("python demos/mnist.py --out 'my runs/a' makes it")


def layer(n_in, n_out):
    return dense(n_in, n_out).init(np.random.default_rng(0))


BROKEN = [  # where in the run, what stands there instead (None: nothing does), what is said
    ("params.phi.4", [layer(9, 3), layer(9, 3)], "a model of 3 latents; the page shows a plane, and expects 2"),
    ("params.phi.4", layer(9, 2), "params.phi.4 is no pair of layers"),
    ("params.phi.2", layer(21, 9), "params.phi.2 has shapes W (21, 9), b (9,); expected W (20, n), b (n,)"),
    ("params.phi.0.W", np.full((64, 20), np.nan, np.float32), "params.phi.0 is no layer of finite numbers W and b"),
    ("params.phi.0.b", None, "params.phi.0 is no layer of finite numbers W and b"),
    ("params.phi.1", 3, "params.phi is no list of layers"), ("params.theta", {}, "params.theta is no list of layers"),
    ("params.theta.4", layer(20, 63), "its decoder gives 63 pixels; expected 64"),
    ("params", None, "not a checkpoint of demos/mnist.py: no params"), ("data", [], "does not say which data"),
    ("data.crc32", 1, "made from other data: crc32 1, not"),
    ("data.test", [13, 64], "made from other data: test [13, 64]"),
    ("data.path", "gone.npz", "gone.npz: no such file"),
    ("history", 3, "history is 3; expected a list of epochs"),
]


def edited(nest, path, value):
    """The nest with what stands at `path` replaced, or without it."""
    if not path:
        return value
    key, *rest = path
    if isinstance(nest, dict):
        return {k: edited(child, rest, value) if k == key else child for k, child in nest.items()
                if not (k == key and not rest and value is None)}
    return [edited(child, rest, value) if i == int(key) else child for i, child in enumerate(nest)]


@pytest.fixture
def small(pages, tmp_path):
    """A run of 8 × 8 pixels, a page made of it, and the arguments that make it again."""
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(pages["small"][0].parent, run)
    out.mkdir()
    (run / "explore.html").rename(out / "explore.html")
    return run, out / "explore.html", ["--run", run, "--out", out, "--no-open"]


def refused(capsys, small, message):
    """One line, status 2, and the page that was there is still there, nothing beside it."""
    _, page, argv = small
    before = page.read_bytes()
    done = call(capsys, *argv)
    assert done.status == 2 and len(done.err) == 1 and done.out == []
    assert "error: " in done.err[0] and message in done.err[0]
    assert page.read_bytes() == before and os.listdir(page.parent) == ["explore.html"]


@pytest.mark.parametrize("where, value, message", BROKEN, ids=[where for where, _, _ in BROKEN])
def test_another_checkpoint_is_refused_in_one_line(capsys, small, where, value, message):
    path = small[0] / "checkpoint.npz"
    checkpoint.save(path, edited(checkpoint.load(path), where.split("."), value))
    refused(capsys, small, message)


def test_a_damaged_checkpoint_is_refused_in_one_line(capsys, small, rng):
    path = small[0] / "checkpoint.npz"
    content = path.read_bytes()
    for length in rng.integers(0, len(content) - 30, 8):
        path.write_bytes(content[:length])
        refused(capsys, small, str(path))
    for nest in ([], 3, np.zeros(3)):
        checkpoint.save(path, nest)
        refused(capsys, small, "not a checkpoint of demos/mnist.py: no options,")


def test_images_too_small_to_see_are_refused(capsys, small, tmp_path):
    x = np.arange(5 * 9, dtype=np.uint8).reshape(5, 3, 3) * 5
    np.savez(tmp_path / "tiny.npz", x_train=x, x_test=x)
    init = np.random.default_rng(0)
    params = {"phi": sequential(heads(dense(9, 2), dense(9, 2))).init(init), "theta": [layer(2, 9)]}
    shutil.rmtree(small[0])
    write_run(small[0], params, tmp_path / "tiny.npz")
    refused(capsys, small, "made from images of shape (3, 3); expected at least 4 pixels a side")


def test_the_same_run_gives_the_same_page_and_says_where(capsys, small, tmp_path, monkeypatch):
    run, page, argv = small
    before, opened = page.read_bytes(), []
    monkeypatch.setattr(explore.webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    done = call(capsys, *argv)
    assert done.status == 0 and len(done.out) == 1 and done.out[0].startswith(f"{page}: ") and not opened
    assert page.read_bytes() == before
    assert call(capsys, *argv[:-1]).status == 0 and opened == [page.as_uri()]
    moved = checkpoint.load(run / "checkpoint.npz")
    source = shutil.copy(moved["data"]["path"], tmp_path / "moved.npz")
    checkpoint.save(run / "checkpoint.npz", edited(moved, ["data", "path"], "gone.npz"))
    assert call(capsys, *argv, "--data", source).status == 0
